/** PASIDE of a context entry; the directory has 128 entries. */
export const PASIDE = 8;
/** DTE of a context entry. */
export const DTE = 4;
/** PRE of a context entry. */
export const PRE = 16;

/** Words of PASID table entries (VT-d 9.6); second stages have 48 bits. */
export const firstStage = (root: number, domainId: number, levels: 4 | 5 = 4): bigint[] => [
  0x41n,
  BigInt(domainId),
  BigInt(root * 4096) | (levels === 5 ? 4n : 0n), // FSPM
];
export const secondStage = (root: number, domainId: number): bigint[] => [
  BigInt(root * 4096) | 0x89n,
  BigInt(domainId),
  0n,
];
export const nested = (first: number, second: number, domainId: number): bigint[] => [
  BigInt(second * 4096) | 0xc9n,
  BigInt(domainId),
  BigInt(first * 4096),
];
/** Pass-through, of domain 6. */
export const PASS_THROUGH: readonly bigint[] = [0x109n, 6n, 0n];
/** Present, with a translation type that there is not. */
export const BROKEN: readonly bigint[] = [0x1n, 6n, 0n];
/** Not present. */
export const ABSENT: readonly bigint[] = [0n, 0n, 0n];
