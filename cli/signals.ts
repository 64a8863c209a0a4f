/**
 * Waits for the wish to stop. Called by the commands that stay up.
 */

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once with code 130. */
export const stopSignal = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    const first = (signal: NodeJS.Signals) => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) {
        process.off(name, first);
        process.on(name, () => process.exit(130));
      }
      resolve(signal);
    };
    process.on('SIGINT', first);
    process.on('SIGTERM', first);
  });
