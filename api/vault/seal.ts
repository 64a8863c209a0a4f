/**
 * The seal of secrets that must be read back, for the vault; jobs need it too, so it lives in platform/seal.ts.
 */
export { openSeal, type Seal, type SealContext } from '../../platform/seal.ts';
