import { ViommuError } from "./errors.ts";

/**
 * A saved part of a machine: magic "VIOM", version, length, checksum, identity, shape, payload.
 * `shape` says in words what a record fits ("cap=… ecap=…"); another shape is refused.
 */
export interface SnapshotHeader {
  readonly id: string;
  readonly version: number;
  readonly shape: string;
}

const MAGIC = 0x4d4f_4956; // "VIOM"
const HEADER_WORDS = 6;

/** Puts a payload of 32-bit words into a record. */
export function encodeRecord(header: SnapshotHeader, payload: Int32Array): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify([header.id, header.shape]));
  const textBytes = (text.length + 3) & ~3;
  const record = new Uint8Array(HEADER_WORDS * 4 + textBytes + payload.length * 4);
  const view = new DataView(record.buffer);
  view.setInt32(0, MAGIC, true);
  view.setInt32(4, header.version, true);
  view.setInt32(8, record.length, true);
  view.setInt32(16, text.length, true);
  view.setInt32(20, payload.length, true);
  record.set(text, HEADER_WORDS * 4);
  payload.forEach((word, i) => {
    view.setInt32(HEADER_WORDS * 4 + textBytes + i * 4, word, true);
  });
  view.setInt32(12, checksum(record), true);
  return record;
}

/**
 * Takes the payload out of a record made for `expected`. Throws ERR_VIOMMU_SNAPSHOT with the reason
 * when the record is damaged, of another part, of a newer version, or of another shape.
 */
export function decodeRecord(expected: SnapshotHeader, record: Uint8Array): Int32Array {
  const refuse = (reason: string): never => {
    throw new ViommuError("ERR_VIOMMU_SNAPSHOT", `cannot restore "${expected.id}": ${reason}`);
  };
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if (record.length < HEADER_WORDS * 4 || view.getInt32(0, true) !== MAGIC) {
    return refuse("this is no viommu record");
  }
  const version = view.getInt32(4, true);
  if (version !== expected.version) {
    return refuse(`the record has version ${version}, this machine reads ${expected.version}`);
  }
  if (view.getInt32(8, true) !== record.length) return refuse("the record is truncated");
  if (view.getInt32(12, true) !== checksum(record)) return refuse("the checksum is wrong");
  const textLength = view.getInt32(16, true);
  const words = view.getInt32(20, true);
  const start = HEADER_WORDS * 4 + ((textLength + 3) & ~3);
  if (start + words * 4 !== record.length) return refuse("the lengths in the record disagree");
  const text = record.subarray(HEADER_WORDS * 4, HEADER_WORDS * 4 + textLength);
  const [id, shape] = JSON.parse(new TextDecoder().decode(text)) as [string, string];
  if (id !== expected.id) return refuse(`the record belongs to "${id}"`);
  if (shape !== expected.shape) {
    return refuse(`the record fits ${shape}, this machine is ${expected.shape}`);
  }
  return Int32Array.from({ length: words }, (_, i) => view.getInt32(start + i * 4, true));
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
