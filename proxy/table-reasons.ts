/**
 * The texts of reasons, one copy each for as long as a device has it: fleets share a handful. Called by table.ts.
 */

/** Texts by number. */
export interface Reasons {
  /** The number of a text, which is one more time in use. */
  readonly hold: (text: string) => number;
  /** One use less; the number of a text in no use is given to another. */
  readonly release: (number: number) => void;
  readonly text: (number: number) => string;
}

/** No texts yet. */
export const openReasons = (): Reasons => {
  const numbers = new Map<string, number>();
  const texts: string[] = [];
  const uses: number[] = [];
  const free: number[] = [];
  return {
    hold: (text) => {
      const known = numbers.get(text);
      const number = known ?? free.pop() ?? texts.length;
      if (known === undefined) {
        numbers.set(text, number);
        texts[number] = text;
        uses[number] = 0;
      }
      uses[number] = (uses[number] as number) + 1;
      return number;
    },
    release: (number) => {
      uses[number] = (uses[number] as number) - 1;
      if (uses[number] !== 0) return;
      numbers.delete(texts[number] as string);
      texts[number] = '';
      free.push(number);
    },
    text: (number) => texts[number] as string,
  };
};
