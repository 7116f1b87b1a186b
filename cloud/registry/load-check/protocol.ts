/** What the load-check process says, once, over IPC. Both ends are the same build. */
export type LoadVerdict =
  | { readonly loads: true; readonly inputs: readonly string[]; readonly outputs: readonly string[] }
  | { readonly loads: false; readonly reason: string };
