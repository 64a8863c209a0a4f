/**
 * PostgreSQL arrays in their binary form (array_recv in arrayfuncs.c), as parameters of the group commit.
 * Half the bytes of text arrays and no escaping on either side. Used by insert.ts.
 */

/** Type numbers of pg_type that the insert needs. */
const oids = { bool: 16, bytea: 17, int8: 20, int4: 23, text: 25, uuid: 2950 } as const;

const header = (oid: number, count: number): Buffer => {
  const bytes = Buffer.allocUnsafe(20);
  bytes.writeInt32BE(1, 0); // dimensions
  bytes.writeInt32BE(0, 4); // no nulls
  bytes.writeInt32BE(oid, 8);
  bytes.writeInt32BE(count, 12);
  bytes.writeInt32BE(1, 16); // lower bound
  return bytes;
};

const fixed =
  <T>(oid: number, width: number, put: (bytes: Buffer, value: T, at: number) => void) =>
  (values: readonly T[]): Buffer => {
    const body = Buffer.allocUnsafe(values.length * (4 + width));
    for (const [index, value] of values.entries()) {
      const at = index * (4 + width);
      body.writeInt32BE(width, at);
      put(body, value, at + 4);
    }
    return Buffer.concat([header(oid, values.length), body]);
  };

/** bigint[] */
export const int8Array = fixed<bigint>(oids.int8, 8, (bytes, value, at) => bytes.writeBigInt64BE(value, at));
/** integer[] */
export const int4Array = fixed<number>(oids.int4, 4, (bytes, value, at) => bytes.writeInt32BE(value, at));
/** boolean[] */
export const boolArray = fixed<boolean>(oids.bool, 1, (bytes, value, at) =>
  bytes.writeUInt8(value ? 1 : 0, at),
);
/** uuid[], from lower- or upper-case text with hyphens */
export const uuidArray = fixed<string>(oids.uuid, 16, (bytes, value, at) =>
  bytes.write(value.replaceAll('-', ''), at, 16, 'hex'),
);

const lengths = (count: number, sizeAt: (index: number) => number): { bytes: Buffer; starts: number[] } => {
  let total = 0;
  const starts: number[] = [];
  for (let index = 0; index < count; index += 1) {
    starts.push(total + 4);
    total += 4 + sizeAt(index);
  }
  const bytes = Buffer.allocUnsafe(total);
  for (let index = 0; index < count; index += 1)
    bytes.writeInt32BE(sizeAt(index), (starts[index] as number) - 4);
  return { bytes, starts };
};

/** bytea[] */
export const byteaArray = (values: readonly Uint8Array[]): Buffer => {
  const { bytes, starts } = lengths(values.length, (index) => (values[index] as Uint8Array).length);
  for (const [index, value] of values.entries()) bytes.set(value, starts[index] as number);
  return Buffer.concat([header(oids.bytea, values.length), bytes]);
};

/** text[]; the values must not contain NUL */
export const textArray = (values: readonly string[]): Buffer => {
  const sizes = values.map((value) => Buffer.byteLength(value));
  const { bytes, starts } = lengths(values.length, (index) => sizes[index] as number);
  for (const [index, value] of values.entries()) bytes.write(value, starts[index] as number);
  return Buffer.concat([header(oids.text, values.length), bytes]);
};
