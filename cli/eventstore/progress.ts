/** How far a long reading of the log has come, for the person at the terminal. Called by the commands beside it. */

/** A line on standard error that writes over itself, on a terminal only and at most once a second. */
export const openProgressLine = (): { show(text: string): void; end(): void } => {
  let shownAt = Date.now();
  let isShown = false;
  return {
    show: (text) => {
      if (!process.stderr.isTTY || Date.now() - shownAt < 1_000) return;
      shownAt = Date.now();
      isShown = true;
      process.stderr.write(`\r${text}`);
    },
    end: () => {
      if (isShown) process.stderr.write('\n');
    },
  };
};

/** `1 fault`, `2 faults`. */
export const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

/** The same for events that are read in log order; the last position may be unknown. */
export const openProgress = (verb: string) => {
  const line = openProgressLine();
  return {
    show: (events: number, position: bigint, last: bigint | undefined): void =>
      line.show(
        `${counted(events, 'event')} ${verb}, position ${position} of ${last ?? 'an unreadable end'}`,
      ),
    end: line.end,
  };
};
