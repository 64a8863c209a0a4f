/**
 * How the demo speaks: numbered steps, facts under them, aligned tables. Called by story.ts.
 */

/** Writes the story. */
export interface Narrator {
  step(text: string): void;
  fact(text: string): void;
  table(rows: readonly (readonly string[])[]): void;
}

/** A narrator that writes lines with `write`. */
export const narrate = (write: (line: string) => void): Narrator => {
  let steps = 0;
  return {
    step(text) {
      steps += 1;
      write(`\n${steps}. ${text}`);
    },
    fact: (text) => write(`   ${text}`),
    table(rows) {
      const widths = (rows[0] ?? []).map((_, column) =>
        Math.max(...rows.map((cells) => (cells[column] ?? '').length)),
      );
      for (const cells of rows) {
        write(
          `   ${cells
            .map((cell, column) => cell.padEnd(widths[column] ?? 0))
            .join('  ')
            .trimEnd()}`,
        );
      }
    },
  };
};
