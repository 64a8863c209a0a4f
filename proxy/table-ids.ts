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

/** The id that packDeviceId packed. */
export const unpackDeviceId = (bytes: Uint8Array): string => {
  if (bytes.length !== packedBytes) {
    const text = Buffer.from(bytes).toString('utf8');
    return bytes.length === packedBytes + 1 && text.endsWith('\0') ? text.slice(0, -1) : text;
  }
  let text = '';
  let bits = 0;
  let held = 0;
  for (let at = packedBytes - 1; at >= 0; at -= 1) {
    held |= (bytes[at] as number) << bits;
    for (bits += 8; bits >= bitsPerChar; bits -= bitsPerChar) {
      text = alphabet.charAt(held & 31) + text;
      held >>>= bitsPerChar;
    }
  }
  return prefix + alphabet.charAt(held).repeat(charsOfUlid - text.length) + text;
};
