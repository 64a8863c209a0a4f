/**
 * Reads the configuration file of a proxy: YAML, of which JSON is a part. Called by cli/.
 */
import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { MusterError } from '../platform/errors.ts';
import { type ProxyConfig, parseProxyConfig } from './config.ts';

const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new MusterError('config-invalid', `${file} cannot be read`, { cause });
  }
};

/** The checked settings of a file; throws `config-invalid` naming every fault of it. */
export const readProxyConfig = (file: string): ProxyConfig =>
  parseProxyConfig(readSettings(readText(file), file));

/** What a text says, unchecked; `file` is for faults. */
export const readSettings = (text: string, file: string): unknown => {
  // Aliases are not needed here and can grow a small file without bound.
  const document = parseDocument(text, { prettyErrors: true });
  const [fault] = document.errors;
  if (fault !== undefined) throw new MusterError('config-invalid', `${file}: ${fault.message}`);
  return settingsIn(document, file);
};

const settingsIn = (document: ReturnType<typeof parseDocument>, file: string): unknown => {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new MusterError('config-invalid', `${file}: aliases (*name) are not read`, { cause });
  }
};

/** What to say when others than its owner may change where passwords of mail users go; undefined when all is well. */
export const permissionAdvice = (file: string): string | undefined => {
  if (process.platform === 'win32') return undefined;
  const mode = statSync(file).mode & 0o777;
  if ((mode & 0o022) === 0) return undefined;
  return `others may change ${file}, which says where mail passwords go (mode ${mode.toString(8)}): chmod 600 ${file}`;
};
