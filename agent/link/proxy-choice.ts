/** Which HTTP proxy, if any, stands between this device and a server: a decision over settings, pure. */
import { err, ok, type Result } from '#shared/kernel/result.js';

export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** The value of `Proxy-Authorization`, from user and password in the URL. Secret. */
  readonly authorization?: string;
}

export interface ProxySettings {
  /** http://[user:password@]host:port; `none` for no proxy, whatever the environment says. */
  readonly proxy: string | undefined;
  /** Hosts that are reached directly, as in NO_PROXY: names, domains, addresses, host:port, or `*`. */
  readonly noProxy: string;
}

/** @returns the proxy as a connection needs it, or what is wrong with the setting (never its password) */
export function parseProxy(text: string): Result<HttpProxy, string> {
  if (!URL.canParse(text)) return err('it is no address: write http://host:port');
  const url = new URL(text);
  if (url.protocol !== 'http:') return err(`it must begin with http://, not ${url.protocol}//`);
  if (url.hostname === '') return err('it names no host');
  if ((url.pathname !== '/' && url.pathname !== '') || url.search !== '' || url.hash !== '') {
    return err('nothing may follow the port');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 80 : Number(url.port);
  if (url.username === '' && url.password === '') return ok({ host, port });
  const credentials = decode(`${url.username}:${url.password}`);
  if (credentials === undefined) return err('user or password hold a % that is no escape: write it %25');
  return ok({ host, port, authorization: `Basic ${base64(credentials)}` });
}

/** @returns undefined when the server is reached directly */
export function proxyFor(
  server: { readonly host: string; readonly port: number },
  settings: ProxySettings,
): Result<HttpProxy | undefined, string> {
  const { proxy } = settings;
  if (proxy === undefined || proxy === '' || proxy === 'none' || isExempt(server, settings.noProxy)) {
    return ok(undefined);
  }
  return parseProxy(proxy);
}

function isExempt({ host, port }: { readonly host: string; readonly port: number }, noProxy: string): boolean {
  const name = host.toLowerCase();
  if (name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name)) return true;
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const withPort = /^\[?(.+?)\]?:(\d+)$/.exec(entry);
      const [wanted, wantedPort] =
        withPort !== null && !isBareIpv6(entry) ? [withPort[1] ?? '', Number(withPort[2])] : [entry, port];
      const domain = wanted.replace(/^\*?\./, '').replace(/^\[|\]$/g, '');
      return wantedPort === port && (name === domain || name.endsWith(`.${domain}`));
    });
}

function isBareIpv6(entry: string): boolean {
  return !entry.startsWith('[') && entry.split(':').length > 2;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
