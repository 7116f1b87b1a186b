/** nginx as a balancer of the same hosts: least connections, kept connections, no logs, one worker. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

export interface Nginx {
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** Debian has it where an ordinary user does not look. */
const env = { ...process.env, PATH: [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter) };

export function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', name], { env, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export async function startNginx(options: {
  readonly folder: string;
  readonly port: number;
  readonly sockets: readonly string[];
  readonly prefix: string;
  readonly core: string | undefined;
}): Promise<Nginx> {
  const { folder, port, sockets, prefix, core } = options;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = `
${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
  upstream hosts { least_conn; ${sockets.map((path) => `server unix:${path};`).join(' ')} keepalive 64; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${String(port)};
    location ${prefix}/ {
      proxy_pass http://hosts/; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host localhost; proxy_set_header Authorization "";
    }
  }
}`;
  const file = join(folder, 'nginx.conf');
  await writeFile(file, config);
  const command = ['nginx', '-c', file, '-p', folder];
  const [program = '', ...args] = core === undefined ? command : ['taskset', '-c', core, ...command];
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGQUIT');
    await exited;
  };
  const url = `http://127.0.0.1:${String(port)}${prefix}`;
  for (let left = 50; left > 0 && child.exitCode === null; left--) {
    const answers = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answers) return { pid: child.pid ?? 0, url, stop };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill();
  throw new Error('nginx does not answer');
}
