import { hiFromBigint, loFromBigint } from "@viommu/plugin";
import type { Capabilities } from "@viommu/vtd-spec";
import type { Random } from "./random.ts";
import { FIRST_TABLE, Soup } from "./soup.ts";
import type { SoupOptions } from "./soup.ts";

const INDICES = [0n, 1n, 17n, 511n];
const DIRECTORIES = 5;
const PASID_TABLES = 8;
/** Slots of a PASID table that are filled. */
const SLOTS = [0n, 1n, 2n];

/** What a test wants to be other than random. */
export interface ScalableOptions extends SoupOptions {
  readonly capabilities?: Partial<Capabilities>;
}

/** A machine in scalable mode. Tables, entries and guests' mistakes come from the seed. */
export function scalableSoup(random: Random, options: ScalableOptions = {}): Soup {
  const some = (): number => random.below(2);
  const smpwc = random.of([0, 1, 1, 1]);
  const first = random.of([0, 1, 1, 1]);
  const second = first === 0 ? 1 : random.of([0, 1, 1, 1]);
  const srs = random.of([0, 1, 1]);
  const soup = new Soup(
    random,
    {
      ND: random.of([2, 4, 6]),
      SAGAW: random.of([0b100, 0b110, 0b1110, 0b1110]),
      MGAW: random.of([38, 47, 56, 56]),
      SSLPS: random.of([0, 1, 3, 3]),
      ZLR: some(),
      FS1GP: first & some(),
      FS5LP: first & some(),
      QI: 1,
      SMTS: 1,
      DT: random.of([0, 1, 1, 1]),
      NWFS: some(),
      PT: random.of([0, 1, 1]),
      SC: some(),
      FSTS: first,
      SSTS: second,
      NEST: first & second & random.of([0, 1, 1, 1]),
      SMPWCS: smpwc,
      SSADS: smpwc & some(),
      EAFS: smpwc & first & some(),
      SRS: srs,
      RPRIVS: srs & some(),
      RPS: some(),
      PASID: random.of([0, 1, 1, 1, 1, 1]),
      PTRS: some(),
      PSS: random.of([5, 19, 19, 19]),
      SSIRWS: some(),
      ...options.capabilities,
    },
    1,
    options,
  );
  soup.ssirwe = soup.capabilities.SSIRWS === 1 && random.chance(60);
  soup.latch();
  fillTables(soup);
  if (random.chance(20)) soup.protect();
  return soup;
}

/** Where the context entry of a source lies. */
export function contextEntryOf(soup: Soup, source: number): bigint {
  const half = ((source >> 8) & 1) * 2 + ((source >> 7) & 1);
  return soup.pages[1 + half]! + 32n * BigInt(source & 0x7f);
}

function fillTables(soup: Soup): void {
  const { pages, random } = soup;
  for (const source of soup.sources) {
    const at = pages[0]! + 16n * BigInt(source >> 8) + ((source & 0x80) !== 0 ? 8n : 0n);
    const table = random.chance(98) ? contextEntryOf(soup, source) & ~0xfffn : pages.at(-1)!;
    soup.write(at, table | (random.chance(97) ? 1n : 0n) | soup.some((1n << 64n) - 2n, 2));
    writeContext(soup, source);
  }
  for (const directory of pages.slice(DIRECTORIES, PASID_TABLES)) {
    for (const index of [0n, 1n]) {
      const table = random.chance(98)
        ? random.of(pages.slice(PASID_TABLES, FIRST_TABLE))
        : pages.at(-1)!;
      const value = table | (random.chance(97) ? 1n : 0n) | (random.chance(10) ? 2n : 0n);
      soup.write(directory + 8n * index, value | soup.some((1n << 64n) - 4n, 2));
    }
  }
  for (const at of pasidEntries(soup)) writePasidEntry(soup, at);
  for (const [level, page] of soup.tables()) {
    // identity for the tables themselves, so that nested walks find them
    for (let i = 0n; level === 1 && i < 32n; i += 1n) {
      soup.write(page + 8n * i, (i << 12n) | flags(soup));
    }
    for (const index of INDICES) soup.write(page + 8n * index, entry(soup, level, index));
  }
}

function writeContext(soup: Soup, source: number): void {
  const { random, capabilities: cap } = soup;
  const dte = cap.DT === 1 && random.chance(85);
  const paside = cap.PASID === 1 && random.chance(92);
  const pdts = random.of([0n, 0n, 2n, 7n]);
  let low = random.of(soup.pages.slice(DIRECTORIES, PASID_TABLES)) | (pdts << 9n);
  if (random.chance(2)) low = 0x7fff_f000n | (low & 0xfffn); // no memory
  if (random.chance(97)) low |= 1n;
  if (random.chance(25)) low |= 2n;
  if (dte) low |= 4n;
  if (paside) low |= 8n;
  if (cap.PTRS === 1 && random.chance(paside ? 50 : 20)) low |= 0x40n;
  low |= soup.some((1n << 64n) - 4n, 1);
  let high = 0n;
  if (cap.RPS === 1) high |= BigInt(random.of([0, 0, 0, 0, 1, 64, 64, 0x2000]));
  if (cap.RPRIVS === 1 && random.chance(30)) high |= 1n << 20n;
  high |= soup.some((1n << 64n) - 1n, 1);
  const at = contextEntryOf(soup, source);
  [low, high, soup.some((1n << 64n) - 1n, 1), 0n].forEach((qword, i) => {
    soup.write(at + 8n * BigInt(i), qword);
  });
}

function writePasidEntry(soup: Soup, at: bigint): void {
  const { random, capabilities: cap } = soup;
  const types = [
    ...(cap.FSTS === 1 ? [1, 1] : []),
    ...(cap.SSTS === 1 ? [2, 2] : []),
    ...(cap.NEST === 1 ? [3, 3, 3, 3, 3, 3] : []),
    ...(cap.PT === 1 ? [4] : []),
  ];
  const type = random.chance(97) ? random.of(types) : random.below(8);
  const aws = [1, 2, 3].filter((aw) => ((cap.SAGAW >> aw) & 1) === 1);
  const aw = random.chance(97) ? random.of(aws) : random.below(8);
  let qw0 = (BigInt(type) << 6n) | (BigInt(aw) << 2n);
  if (cap.SSTS === 1) qw0 |= soup.tablePage(aw + 2);
  if (random.chance(97)) qw0 |= 1n;
  if (random.chance(15)) qw0 |= 2n;
  if (cap.SSADS === 1 && random.chance(50)) qw0 |= 0x200n;
  let qw1 = BigInt(1 + random.below(3));
  if (cap.SMPWCS === 1 && random.chance(85)) qw1 |= 1n << 23n;
  if (cap.SC === 1 && random.chance(20)) qw1 |= 1n << 24n;
  let qw2 = random.chance(15) ? random.bits(2) << 5n : 0n; // ignored
  if (cap.SRS === 1 && random.chance(70)) qw2 |= 1n;
  if (cap.FSTS === 1) {
    const five = cap.FS5LP === 1 && random.chance(40);
    qw2 |=
      (type === 3 ? lowTable(soup, five ? 5 : 4) : soup.tablePage(five ? 5 : 4)) | (five ? 4n : 0n);
    if (random.chance(40)) qw2 |= 0x10n;
    if (cap.EAFS === 1 && random.chance(50)) qw2 |= 0x80n;
  }
  const words = [qw0, qw1, qw2, 0n, 0n, 0n, 0n, 0n];
  if (random.chance(3)) words[random.below(8)]! |= 1n << BigInt(random.below(64));
  words.forEach((qword, i) => {
    soup.write(at + 8n * BigInt(i), qword);
  });
}

/** Permissions and flags of both stages: most entries serve in either. */
function flags(soup: Soup): bigint {
  const { random, ssirwe } = soup;
  let value = random.chance(95) ? 7n : random.bits(3);
  if (ssirwe) value |= random.chance(94) ? 3n << 61n : random.bits(2) << 61n;
  return value | flagsOnly(soup);
}

/** A, D and EA of the first stage, A and D of the second. */
function flagsOnly({ random }: Soup): bigint {
  return random.chance(50) ? (random.bits(6) << 5n) & 0x760n : 0x760n;
}

/** A page for paging structures of a level, below the first MiB. */
function lowTable(soup: Soup, level: number): bigint {
  const pages = soup.tables().filter(([own, page]) => own === level && page < 0x10_0000n);
  return pages.length > 0 ? soup.random.of(pages)[1] : soup.page();
}

/** A paging entry: mostly good for a table of the next level or a page. */
function entry(soup: Soup, level: number, index: bigint): bigint {
  const { random } = soup;
  const isNested = soup.capabilities.NEST === 1;
  // the tables of a nested first stage are found by way of the first entries of the second
  if (isNested && index === 0n && level > 1 && random.chance(80)) {
    return lowTable(soup, level - 1) | 7n | (soup.ssirwe ? 3n << 61n : 0n) | flagsOnly(soup);
  }
  if (random.chance(2)) return 0n;
  const large = (level === 2 || level === 3) && random.chance(15);
  const shift = BigInt(9 * level + 3);
  let value = isNested ? lowTable(soup, level - 1) : soup.tablePage(level - 1);
  if (level === 1 || large) value = random.chance(50) ? value : random.bits(36) & ~0xfffn;
  if (level === 1 && random.chance(10)) value = index << 12n;
  if (large) value = random.chance(40) ? 0n : random.chance(95) ? (value >> shift) << shift : value;
  if ((level === 1 || large) && random.chance(2)) value = 0xfee0_0000n | (value & 0xf_f000n);
  if (large || random.chance(1)) value |= 0x80n;
  if ((level === 1 || large) && soup.capabilities.SC === 1 && random.chance(20)) value |= 0x800n;
  value |= flags(soup) | soup.some(0x9ff0_0000_0000_0018n, 20); // ignored
  return value | soup.some(0x600f_ffff_0000_0800n, 1); // mostly reserved
}

/** Changes some tables, and invalidates what may have been made of them. */
export function changeTables(soup: Soup): void {
  const { random, engine } = soup;
  const tables = soup.tables();
  for (let i = 0; i < 8; i += 1) {
    const [level, page] = random.of(tables);
    const index = random.of(INDICES);
    soup.write(page + 8n * index, entry(soup, level, index));
  }
  const choice = random.below(6);
  switch (choice) {
    case 0:
      engine.invalidateAll();
      return;
    case 1:
      engine.invalidateIotlbGlobal();
      return;
    case 2:
      for (let did = 0; did < 4; did += 1) engine.invalidateIotlbDomain(did);
      for (const did of strays(soup)) engine.invalidateIotlbDomain(did);
      return;
    case 3:
      for (const source of soup.sources) writeContext(soup, source);
      engine.invalidateContextGlobal();
      engine.invalidateIotlbGlobal();
      return;
    case 4:
      for (const at of pasidEntries(soup)) writePasidEntry(soup, at);
      engine.invalidatePasidCacheGlobal();
      engine.invalidateIotlbGlobal();
      return;
    default:
      soup.ssirwe = soup.capabilities.SSIRWS === 1 && random.chance(50);
      soup.latch();
  }
}

/** Domain-ids that a flipped bit has made. */
function strays(soup: Soup): number[] {
  return pasidEntries(soup).map((at) => Number((soup.read(at + 8n) ?? 0n) & 0xffffn));
}

/** Where the PASID table entries that are filled in lie. */
export function pasidEntries({ pages }: Soup): bigint[] {
  return pages
    .slice(PASID_TABLES, FIRST_TABLE)
    .flatMap((table) => SLOTS.map((slot) => table + 64n * slot));
}

/** What memory should hold: the flags that the model sets are carried over. */
export class Shadow {
  private readonly soup: Soup;
  /** One for each region. */
  private copies: Uint8Array[] = [];

  constructor(soup: Soup) {
    this.soup = soup;
    this.refresh();
  }

  refresh(): void {
    this.copies = this.copy();
  }

  write(address: bigint, value: bigint): void {
    const at = Number(address);
    this.soup.regions.forEach(({ base, size }, i) => {
      if (at < base || at >= base + size) return;
      new DataView(this.copies[i]!.buffer).setBigUint64(at - base, value, true);
    });
  }

  /** Whether memory holds nothing else. */
  isSame(): boolean {
    return this.copy().every((bytes, i) => Buffer.compare(bytes, this.copies[i]!) === 0);
  }

  private copy(): Uint8Array[] {
    return this.soup.regions.map(({ base, size }) => {
      const bytes = new Uint8Array(size);
      const address = BigInt(base);
      this.soup.memory.readBytes(hiFromBigint(address), loFromBigint(address), bytes);
      return bytes;
    });
  }
}
