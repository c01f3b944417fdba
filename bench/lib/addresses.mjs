import { shuffled } from "./stats.mjs";

const GIB = 2 ** 30;

/**
 * `count` contiguous pages from `base`, visited `rounds` times in random order, each time at
 * another dword.
 */
export function randomPages(base, count, { pageShift = 12, rounds = 1 } = {}) {
  const size = 2 ** pageShift;
  const addresses = [];
  for (let round = 0; round < rounds; round++) {
    for (const page of shuffled(count, round + 3)) {
      const dword = Math.imul(page + 977 * round + 1, 0x9e3779b1) >>> 0;
      addresses.push(base + page * size + ((dword * 4) % size));
    }
  }
  return addressList(addresses);
}

/** `count` addresses inside one page. */
export function streamInPage(base, count) {
  return addressList(Array.from({ length: count }, (_, i) => base + ((i * 64) % 4096)));
}

/**
 * One list of addresses in the notation of each side: `pairs` holds the split address of the
 * JavaScript engine (hi, lo), `values` the 64-bit words for C, `numbers` and `bigints` the
 * convenience notations. The length must be a power of two.
 */
function addressList(addresses) {
  const pairs = new Int32Array(addresses.length * 2);
  addresses.forEach((address, i) => {
    pairs[2 * i] = Math.floor(address / GIB);
    pairs[2 * i + 1] = address % GIB;
  });
  const bigints = addresses.map((address) => BigInt(address));
  return {
    pairs,
    values: BigUint64Array.from(bigints),
    numbers: Float64Array.from(addresses),
    bigints,
    length: addresses.length,
  };
}
