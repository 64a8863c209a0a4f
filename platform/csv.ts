/**
 * Tables of comma-separated values (RFC 4180 and what spreadsheets make of it), read and written. Called by imports
 * and exports in api/ and workers/.
 */
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { stringify } from 'csv-stringify/sync';
import { MusterError } from './errors.ts';

/** Largest file that is read. */
export const mostCsvBytes = 5_000_000;
/** A cell or line longer than this is no table. */
const mostRecordCharacters = 100_000;
/** The parser gets the text in pieces of this size, so that other requests have their turn between them. */
const pieceCharacters = 65_536;

/** A line of a table: `row` counts from 1, the header, and counts empty lines, which are left out. */
export interface CsvRow {
  readonly row: number;
  readonly cells: readonly string[];
}

export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly CsvRow[];
  readonly delimiter: ',' | ';' | '\t';
}

const delimiters = [',', ';', '\t'] as const;

/** The delimiter that the first line has most of, outside quotes. */
const sniff = (text: string): (typeof delimiters)[number] => {
  const first = (text.split(/\r\n|\n|\r/, 1)[0] ?? '').replace(/"[^"]*"/g, '');
  const count = (delimiter: string) => first.split(delimiter).length;
  return delimiters.reduce((best, next) => (count(next) > count(best) ? next : best));
};

const decode = (content: Uint8Array): string => {
  try {
    // The byte order mark that spreadsheets write is taken off.
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (cause) {
    throw new MusterError('invalid-csv', 'the file is not UTF-8', { cause });
  }
};

function* piecesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; from += pieceCharacters)
    yield text.slice(from, from + pieceCharacters);
}

const faultOf = (cause: unknown): unknown =>
  cause instanceof CsvError ? new MusterError('invalid-csv', cause.message.slice(0, 200), { cause }) : cause;

/**
 * Reads a file of at most `mostRows` rows besides the header. `invalid-csv` says what is wrong with the file as a
 * whole; `body-too-large` that it is larger than may be.
 */
export const readCsv = async (content: Uint8Array, mostRows: number): Promise<Table> => {
  if (content.byteLength > mostCsvBytes)
    throw new MusterError('body-too-large', `at most ${mostCsvBytes} bytes`);
  const text = decode(content);
  const delimiter = sniff(text);
  const parser = Readable.from(piecesOf(text)).pipe(
    parse({ delimiter, relax_column_count: true, max_record_size: mostRecordCharacters }),
  );
  let header: readonly string[] | undefined;
  const rows: CsvRow[] = [];
  let row = 0;
  try {
    for await (const cells of parser as AsyncIterable<string[]>) {
      row += 1;
      if (cells.every((cell) => cell.trim() === '')) continue;
      if (header === undefined) header = cells.map((cell) => cell.trim());
      else rows.push({ row, cells });
      if (rows.length > mostRows) throw new MusterError('invalid-csv', `at most ${mostRows} rows`);
    }
  } catch (cause) {
    throw faultOf(cause);
  }
  if (header === undefined) throw new MusterError('invalid-csv', 'the file is empty');
  return { header, rows, delimiter };
};

/**
 * One or more lines of a table. A cell that a spreadsheet would take for a formula is written as text (OWASP, CSV
 * injection): an apostrophe goes before it.
 */
export const writeCsv = (rows: readonly (readonly (string | number | null)[])[]): string =>
  rows.length === 0
    ? ''
    : stringify(
        rows.map((cells) => [...cells]),
        { escape_formulas: true, record_delimiter: '\r\n' },
      );
