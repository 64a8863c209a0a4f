/**
 * Muster's device ids as bytes: the 26 characters of a ULID carry 128 bits, which take 16 bytes instead of 29. Called by
 * table-records.ts and table.ts. Any other text is kept as it is.
 */

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const digits = new Int8Array(128).fill(-1);
for (let value = 0; value < alphabet.length; value += 1) digits[alphabet.charCodeAt(value)] = value;

const prefix = 'dev';
const ulid = /^dev[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const packedBytes = 16;
const charsOfUlid = 26;
const bitsPerChar = 5;

/** The bytes of a device id; at most 255. Text of 16 bytes would be taken for a packed id, so it gets one more. */
export const packDeviceId = (deviceId: string): Buffer => {
  if (!ulid.test(deviceId)) {
    const bytes = Buffer.from(deviceId, 'utf8');
    if (bytes.length > 254) throw new RangeError('a device id is too long');
    return bytes.length === packedBytes ? Buffer.concat([bytes, Buffer.from([0])]) : bytes;
  }
  const bytes = Buffer.alloc(packedBytes);
  let bits = 0;
  let held = 0;
  let at = packedBytes - 1;
  for (let index = deviceId.length - 1; index >= prefix.length; index -= 1) {
    held |= (digits[deviceId.charCodeAt(index)] as number) << bits;
    bits += bitsPerChar;
    while (bits >= 8 && at >= 0) {
      bytes[at] = held & 0xff;
      at -= 1;
      held >>>= 8;
      bits -= 8;
    }
  }
  return bytes;
};

const codes = Buffer.from(alphabet, 'latin1');
/** Where an id is put together: a string made letter by letter would cost a request more than all the rest of its look-up. */
const unpacked = Buffer.from(prefix.padEnd(prefix.length + charsOfUlid), 'latin1');

/** The id that packDeviceId packed, which lies in `bytes` between `from` and `to`. */
export const unpackDeviceId = (bytes: Buffer, from = 0, to = bytes.length): string => {
  if (to - from !== packedBytes) {
    const text = bytes.toString('utf8', from, to);
    return to - from === packedBytes + 1 && text.endsWith('\0') ? text.slice(0, -1) : text;
  }
  let bits = 0;
  let held = 0;
  let next = unpacked.length - 1;
  for (let at = to - 1; at >= from; at -= 1) {
    held |= (bytes[at] as number) << bits;
    for (bits += 8; bits >= bitsPerChar; bits -= bitsPerChar) {
      unpacked[next] = codes[held & 31] as number;
      next -= 1;
      held >>>= bitsPerChar;
    }
  }
  // Of the first letter, three bits of whose five are there.
  unpacked[next] = codes[held] as number;
  return unpacked.toString('latin1');
};
