/**
 * Memory for what is written in one piece: a head and a small body. Called by exchange.ts and upstream.ts.
 *
 * Pieces are cut off a block one after the other, and the block is freed with the last of them: for pieces that leave at
 * once that costs a small part of an allocation each.
 */

const blockBytes = 64 * 1024;
let block = Buffer.allocUnsafeSlow(blockBytes);
let used = 0;

const take = (sizeBytes: number): Buffer => {
  if (sizeBytes > blockBytes / 4) return Buffer.allocUnsafeSlow(sizeBytes);
  if (used + sizeBytes > blockBytes) {
    block = Buffer.allocUnsafeSlow(blockBytes);
    used = 0;
  }
  used += sizeBytes;
  return block.subarray(used - sizeBytes, used);
};

/** The head, which is text in ISO-8859-1, and the body behind it. */
export const inOnePiece = (head: string, body: Buffer): Buffer => {
  const bytes = take(head.length + body.length);
  bytes.write(head, 0, 'latin1');
  body.copy(bytes, head.length);
  return bytes;
};
