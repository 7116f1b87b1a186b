/**
 * The command line that starts a program in its bounds: util-linux and a shell, each of which replaces
 * itself by the next, so that the process keeps the id that its parent knows, and the descriptors that
 * it inherits. Pure.
 */
import type { SandboxRecipe } from './plan-sandbox.js';

export const sandboxTools = ['sh', 'unshare', 'setpriv', 'prlimit', 'mount', 'umount', 'pivot_root', 'chroot'] as const;
export type SandboxTool = (typeof sandboxTools)[number];

/** One part of what a confined process sees of the file system. Paths are absolute, and the same inside. */
export type ViewPart =
  | { readonly kind: 'bind'; readonly path: string; readonly mode: 'program' | 'data' | 'device' }
  | { readonly kind: 'link'; readonly path: string; readonly to: string }
  /** An empty folder of its own, of bounded size. */
  | { readonly kind: 'temporary'; readonly path: string; readonly bytes: number }
  /** An empty folder over what another part would show. */
  | { readonly kind: 'hide'; readonly path: string };

export interface CommandInput {
  readonly recipe: SandboxRecipe;
  /** Whose namespaces: root's own, or those of a user namespace. `none`: there are none to be had. */
  readonly namespaces: 'root' | 'user' | 'none';
  /** Absolute paths. */
  readonly tools: Readonly<Partial<Record<SandboxTool, string>>>;
  /** User and group of its own. */
  readonly user: number;
  /** An empty folder to build the view in. */
  readonly viewRoot: string;
  readonly view: readonly ViewPart[];
  /** Files of control groups to enter. */
  readonly entrances: readonly string[];
  readonly program: readonly string[];
}

const bindOptions = {
  program: 'ro,nosuid,nodev',
  data: 'ro,nosuid,nodev,noexec',
  device: 'nosuid,noexec',
} as const;

/** Nothing of ours but a path to find programs by. */
export const confinedPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Writes its own id into each file before `--`, then becomes what follows. */
const enterScript =
  'while [ "$1" != -- ]; do echo $$ >"$1" || exit 97; shift; done; shift; unset PWD OLDPWD; exec "$@"';

/**
 * Builds a root below "$1" of the parts up to `--`, makes it the root of this mount namespace, lets go of
 * the old one, and becomes what follows. The new root is a folder of its file system, and entered by
 * chroot: in such a place the kernel makes no user namespace, and so lends no privileges to play with.
 */
const viewScript = `set -eu; umask 022
top=$1; root=$top/root; shift
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev flotilla "$top"
mkdir "$root" "$top/old"
while [ "$1" != -- ]; do
  case $1 in
    link) mkdir -p "$root\${2%/*}"; ln -s "$3" "$root$2"; shift 3;;
    bind) if [ -d "$2" ]; then mkdir -p "$root$2"; else mkdir -p "$root\${2%/*}"; [ -e "$root$2" ] || : >"$root$2"; fi
      mount -o "bind,$3" "$2" "$root$2"; shift 3;;
    tmpfs) mkdir -p "$root$2"; mount -t tmpfs -o "$3" flotilla "$root$2"; shift 3;;
    proc) mkdir -p "$root/proc"; mount -t proc -o nosuid,nodev,noexec,hidepid=2 proc "$root/proc"; shift;;
    old-proc) mkdir -p "$root/proc"; mount --rbind /proc "$root/proc"; shift;;
  esac
done
shift
for name in usr bin sbin lib lib64 lib32 proc; do
  if [ -e "$root/$name" ]; then ln -s "root/$name" "$top/$name"; fi
done
mount -o remount,bind,ro "$top"
cd "$top"
pivot_root . old
umount -l /old
unset PWD OLDPWD
exec chroot /root "$@"`;

export function sandboxCommand(input: CommandInput): { readonly file: string; readonly args: readonly string[] } {
  const entering = input.tools.sh === undefined ? [] : entered(input.tools.sh, input.entrances);
  const [file, ...args] = [...entering, ...namespaced(input), ...viewed(input), ...bounded(input)];
  const [program = '', ...rest] = input.program;
  return file === undefined ? { file: program, args: rest } : { file, args: [...args, program, ...rest] };
}

/** What goes before a command that is to be in control groups. */
export function entered(sh: string, entrances: readonly string[]): string[] {
  return entrances.length === 0 ? [] : [sh, '-c', enterScript, 'flotilla-sandbox', ...entrances, '--'];
}

function namespaced({ recipe, namespaces, tools }: CommandInput): string[] {
  const wanted = [
    ...(recipe.view === 'private' ? ['--mount', '--propagation', 'private', '--ipc'] : []),
    ...(recipe.network === 'none' ? ['--net'] : []),
  ];
  if (tools.unshare === undefined || namespaces === 'none' || wanted.length === 0) return [];
  return [tools.unshare, ...(namespaces === 'user' ? ['--user', '--map-root-user'] : []), ...wanted, '--'];
}

function viewed({ recipe, namespaces, tools, user, viewRoot, view }: CommandInput): string[] {
  if (recipe.view !== 'private' || tools.sh === undefined) return [];
  const owner = namespaces === 'root' && recipe.user === 'own' ? `,uid=${String(user)},gid=${String(user)}` : '';
  const parts = view.flatMap((part) => partWords(part, owner));
  // Another user's processes are nobody's business; in a user namespace the kernel allows no such mount.
  const processes = namespaces === 'root' ? 'proc' : 'old-proc';
  return [tools.sh, '-c', viewScript, 'flotilla-sandbox', viewRoot, ...parts, processes, '--'];
}

function partWords(part: ViewPart, owner: string): string[] {
  switch (part.kind) {
    case 'bind':
      return ['bind', part.path, bindOptions[part.mode]];
    case 'link':
      return ['link', part.path, part.to];
    case 'temporary':
      return ['tmpfs', part.path, `size=${String(part.bytes)},mode=700,nosuid,nodev${owner}`];
    case 'hide':
      return ['tmpfs', part.path, 'size=64k,mode=711,nosuid,nodev'];
  }
}

function bounded({ recipe, namespaces, tools, user }: CommandInput): string[] {
  const { limits, kept } = recipe;
  const bounds: string[] = [];
  if (tools.setpriv !== undefined) {
    const id = String(user);
    bounds.push(tools.setpriv);
    if (recipe.user === 'own') bounds.push('--reuid', id, '--regid', id, '--clear-groups');
    const privileged = recipe.user === 'own' || (namespaces === 'user' && unshares(recipe));
    if (privileged) bounds.push('--inh-caps=-all', '--bounding-set=-all');
    bounds.push('--no-new-privs', '--pdeathsig', 'KILL', '--');
  }
  if (tools.prlimit !== undefined && kept.files) {
    const twice = (limit: number): string => `${String(limit)}:${String(limit)}`;
    bounds.push(tools.prlimit, `--nofile=${twice(limits.openFiles)}`, `--fsize=${twice(limits.temporaryBytes)}`);
    bounds.push('--core=0:0', ...(recipe.user === 'own' ? [`--nproc=${twice(limits.processes)}`] : []), '--');
  }
  return bounds;
}

function unshares({ view, network }: SandboxRecipe): boolean {
  return view === 'private' || network === 'none';
}
