/**
 * Splits a stream of bytes into lines without ever holding more than one of limited length. Called by feed.ts and
 * state-file.ts.
 */

/**
 * The lines of `chunks` without their line feed; empty ones are skipped, and so is an unfinished last one, for it was cut.
 * Throws when a line is longer than `maxLineBytes` or is not UTF-8.
 */
export async function* readLines(
  chunks: AsyncIterable<Buffer | Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes =
      rest.length === 0
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      if (end - start > maxLineBytes) throw new Error('a line is too long');
      if (end > start) yield decoder.decode(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > maxLineBytes) throw new Error('a line is too long');
  }
}
