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
 * Takes the payload out of a record made for `expected`. Throws ERR_VIOMMU_SNAPSHOT with the reason
 * when the record is damaged, of another part, of another version, or of another shape.
 */
export function decodeRecord(expected: SnapshotHeader, record: Uint8Array): Int32Array {
  const refuse = (reason: string): never => {
    throw new ViommuError("ERR_VIOMMU_SNAPSHOT", `cannot restore "${expected.id}": ${reason}`);
  };
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  if (record.length < HEADER_BYTES || view.getInt32(0, true) !== MAGIC) {
    return refuse("this is no viommu record");
  }
  const version = view.getInt32(4, true);
  if (version !== expected.version) {
    return refuse(`the record has version ${version}, this machine reads ${expected.version}`);
  }
  if (view.getInt32(8, true) !== record.length) return refuse("the record is truncated");
  if (view.getInt32(12, true) !== checksum(record)) return refuse("the checksum is wrong");
  const characters = view.getInt32(16, true);
  const payloadWords = view.getInt32(20, true);
  if (HEADER_BYTES + (characters + payloadWords) * 4 !== record.length) {
    return refuse("the lengths in the record disagree");
  }
  const words = (from: number, count: number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) => view.getInt32(from + i * 4, true));
  const [id, shape] = identity(words(HEADER_BYTES, characters));
  if (id !== expected.id) return refuse(`the record belongs to "${id}"`);
  if (shape !== expected.shape) {
    return refuse(`the record fits ${shape}, this machine is ${expected.shape}`);
  }
  return words(HEADER_BYTES + characters * 4, payloadWords);
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
