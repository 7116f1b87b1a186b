/** Package runners pass on the Ctrl-C that the terminal has sent already: one key, two signals. */
const echoMs = 1000;

/** Calls `stop` on the first SIGTERM or SIGINT; a second one, a moment later, ends the process at once. */
export function onShutdown(stop: (signal: string) => Promise<void>): void {
  let firstAt: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > echoMs) process.exit(130);
      return;
    }
    firstAt = performance.now();
    stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(
          `shutdown failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
        );
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', handle);
  process.on('SIGINT', handle);
}
