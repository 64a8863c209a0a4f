/** How far a long reading of the log has come, for the person at the terminal. Called by the subcommands beside it. */

/** Shows progress on standard error, on a terminal only and at most once a second; `end` closes the line. */
export const openProgress = (verb: string) => {
  let shownAt = Date.now();
  let isShown = false;
  return {
    show(events: number, position: bigint, last: bigint): void {
      if (!process.stderr.isTTY || Date.now() - shownAt < 1_000) return;
      shownAt = Date.now();
      isShown = true;
      process.stderr.write(`\r${events} events ${verb}, position ${position} of ${last}`);
    },
    end(): void {
      if (isShown) process.stderr.write('\n');
    },
  };
};
