import { ViommuError } from "./errors.ts";

/**
 * A saved part of a machine: magic "VIOM", version, length, checksum, identity, shape, payload.
 * `shape` says in words what a record fits ("cap=… ecap=…"); another shape is refused.
 */
export interface SnapshotHeader {
  readonly id: string;
  readonly version: number;
  readonly shape: string;
  /** What another shape has that differs, in words; without it the shapes themselves must tell. */
  readonly differences?: (saved: string) => string;
}

/**
 * What makes the payload of a version out of that of the version before, by the older version's
 * number: the versions that a part still reads. A step refuses a payload that it cannot know with
 * ERR_VIOMMU_SNAPSHOT.
 */
export type SnapshotUpgrades = Readonly<Record<number, (payload: Int32Array) => Int32Array>>;

const MAGIC = 0x4d4f_4956; // "VIOM"
const HEADER_BYTES = 24;

/** Puts a payload of 32-bit words into a record. */
export function encodeRecord(header: SnapshotHeader, payload: Int32Array): Uint8Array {
  const text = JSON.stringify([header.id, header.shape]);
  const record = new Uint8Array(HEADER_BYTES + (text.length + payload.length) * 4);
  const view = new DataView(record.buffer);
  view.setInt32(0, MAGIC, true);
  view.setInt32(4, header.version, true);
  view.setInt32(8, record.length, true);
  view.setInt32(16, text.length, true);
  view.setInt32(20, payload.length, true);
  let at = HEADER_BYTES;
  for (let i = 0; i < text.length; i += 1, at += 4) view.setInt32(at, text.charCodeAt(i), true);
  for (let i = 0; i < payload.length; i += 1, at += 4) view.setInt32(at, payload[i]!, true);
  view.setInt32(12, checksum(record), true);
  return record;
}

/**
 * Takes the payload out of a record made for `expected`; one of an older version goes through the
 * `upgrades` from there on. Throws ERR_VIOMMU_SNAPSHOT with the reason when the record is damaged, of
 * another part, of a version that is not read, or of another shape.
 */
export function decodeRecord(
  expected: SnapshotHeader,
  record: Uint8Array,
  upgrades: SnapshotUpgrades = {},
): Int32Array {
  const refuse = (reason: string): never => {
    throw new ViommuError("ERR_VIOMMU_SNAPSHOT", `cannot restore "${expected.id}": ${reason}`);
  };
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if (record.length < HEADER_BYTES || view.getInt32(0, true) !== MAGIC) {
    return refuse("this is no viommu record");
  }
  const version = view.getInt32(4, true);
  const oldest = oldestReadable(expected.version, upgrades);
  if (version < oldest || version > expected.version) {
    const readable = [...new Set([oldest, expected.version])].join(" to ");
    return refuse(`the record has version ${version}, this machine reads ${readable}`);
  }
  if (view.getInt32(8, true) !== record.length) return refuse("the record is truncated");
  if (view.getInt32(12, true) !== checksum(record)) return refuse("the checksum is wrong");
  const characters = view.getInt32(16, true);
  const payloadWords = view.getInt32(20, true);
  const counted = HEADER_BYTES + (characters + payloadWords) * 4;
  if (characters < 0 || payloadWords < 0 || counted !== record.length) {
    return refuse("the lengths in the record disagree");
  }
  const words = (from: number, count: number): Int32Array => {
    const taken = new Int32Array(count);
    for (let i = 0; i < count; i += 1) taken[i] = view.getInt32(from + i * 4, true);
    return taken;
  };
  const [id, shape] = identity(words(HEADER_BYTES, characters));
  if (id !== expected.id) return refuse(`the record belongs to "${id}"`);
  if (shape !== expected.shape) {
    const differences = expected.differences?.(shape);
    const told = differences === undefined ? "" : ` (${differences})`;
    return refuse(`the record fits ${shape}, this machine is ${expected.shape}${told}`);
  }
  let payload = words(HEADER_BYTES + characters * 4, payloadWords);
  for (let from = version; from < expected.version; from += 1) payload = upgrades[from]!(payload);
  return payload;
}

/** The version from which on there is a step to each next one. */
function oldestReadable(version: number, upgrades: SnapshotUpgrades): number {
  let oldest = version;
  while (upgrades[oldest - 1] !== undefined) oldest -= 1;
  return oldest;
}

/** Id and shape; empty where the record holds no such text. */
function identity(characters: Int32Array): [string, string] {
  const text = Array.from(characters, (code) => String.fromCharCode(code)).join("");
  try {
    const [id, shape] = JSON.parse(text) as unknown[];
    return [String(id), String(shape)];
  } catch {
    return ["", ""];
  }
}

/** FNV-1a over everything but the checksum word itself. */
function checksum(record: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < record.length; i += 1) {
    if (i >= 12 && i < 16) continue;
    hash = Math.imul(hash ^ record[i]!, 0x0100_0193);
  }
  return hash | 0;
}
