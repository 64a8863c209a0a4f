/**
 * The documents of our own programs, one per file in documents/: the console and `muster demo` send their ids instead
 * of their text. Called by server.ts and by cli/.
 *
 * The id is `sha256:` and the digest of the text in hexadecimal (GraphQL over HTTP, "Persisted documents"). A server
 * of another version may lack a document: its id is unknown there, and never another document.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** A document as a program sends it. */
export interface OwnDocument {
  /** Of its only operation, for example `SignIn`. */
  readonly name: string;
  readonly id: string;
  readonly text: string;
}

const folder = new URL('./documents/', import.meta.url);

const readDocument = (file: string): OwnDocument => {
  const text = readFileSync(new URL(file, folder), 'utf8');
  const name = /^(?:query|mutation|subscription) (\w+)/.exec(text)?.[1];
  if (name === undefined) throw new Error(`documents/${file} does not begin with a named operation`);
  return { name, id: `sha256:${createHash('sha256').update(text).digest('hex')}`, text };
};

/** Every own document, by file name. */
export const ownDocuments: readonly OwnDocument[] = readdirSync(folder)
  .filter((file) => file.endsWith('.graphql'))
  .sort()
  .map(readDocument);

/** Text by id. */
export const documentById: ReadonlyMap<string, string> = new Map(
  ownDocuments.map(({ id, text }) => [id, text]),
);

const idByName = new Map(ownDocuments.map(({ name, id }) => [name, id]));

/** The id of the document whose operation has that name; throws for a name that is none. */
export const documentId = (name: string): string => {
  const id = idByName.get(name);
  if (id === undefined) throw new Error(`there is no document ${name}`);
  return id;
};
