/** The Date of answers (RFC 9110 6.6.1). Called by exchange.ts and headers.ts. */

let second = 0;
let line = '';

/** `date: …` with its line end, made once a second. */
export const dateLine = (): string => {
  const now = Math.floor(Date.now() / 1_000);
  if (now !== second) {
    second = now;
    line = `date: ${new Date(now * 1_000).toUTCString()}\r\n`;
  }
  return line;
};
