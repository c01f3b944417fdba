import { ViommuError } from "@viommu/plugin";
import { ChunkKind, readChunks } from "./chunk.ts";
import type { Chunk } from "./chunk.ts";
import { PAGE } from "./domain-pages.ts";
import type { DomainPages } from "./domain-pages.ts";
import type { SavedDomain, SaveSource } from "./domain.ts";
import { damaged, otherShape } from "./error.ts";
import { decodePart } from "./part-record.ts";
import { encodeRegions, regionsText } from "./region-record.ts";

const ZEROS = new Uint8Array(PAGE);
const PAGE_WORDS = PAGE / 4;

/**
 * Makes a domain what the saved one was. All of the save is checked before anything is changed: it is
 * refused with ERR_VIOMMU_SAVE_DAMAGED, with ERR_VIOMMU_SAVE_VERSION, or with ERR_VIOMMU_SAVE_SHAPE
 * and every difference between the two machines.
 */
export function restoreDomain(domain: SavedDomain, source: SaveSource): void {
  const records = check(domain, source);
  const { pages, parts } = domain;
  for (const page of pages.touched()) pages.write(page, ZEROS);
  for (const { kind, words } of readChunks(source)) {
    if (kind === ChunkKind.PAGES) writePages(pages, words);
    if (kind === ChunkKind.ZEROS) for (const page of words) pages.write(page, ZEROS);
  }
  for (const part of parts) part.restore(records.get(part.snapshotId)!);
}

/** The records of all parts, every one of which fits. */
function check({ pages, parts }: SavedDomain, source: SaveSource): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  const differences: string[] = [];
  const expected = regionsText(encodeRegions(pages.regions));
  let regions: string | null = null;
  let count = 0;
  for (const { kind, words } of readChunks(source)) {
    if ((kind === ChunkKind.REGIONS) !== (regions === null)) {
      throw damaged("the regions of memory are not where they belong");
    }
    if (kind === ChunkKind.REGIONS) {
      regions = regionsText(words);
      count = pagesOf(words);
    } else if (kind === ChunkKind.PART) {
      const part = decodePart(words);
      if (part === null || records.has(part.name)) throw damaged("a part of it is no record");
      records.set(part.name, part.record);
    } else if (!arePages({ kind, words }, count)) throw damaged("pages of it are none");
  }
  if (regions === null) throw damaged("it holds nothing");
  if (regions !== expected)
    differences.push(`the save has memory ${regions} instead of ${expected}`);
  for (const part of parts) {
    const record = records.get(part.snapshotId);
    const difference =
      record === undefined
        ? `the save has no "${part.snapshotId}"`
        : refusal(() => {
            part.check(record);
          });
    if (difference !== null) differences.push(difference);
  }
  for (const name of records.keys()) {
    if (parts.some(({ snapshotId }) => snapshotId === name)) continue;
    differences.push(`the machine has no "${name}"`);
  }
  if (differences.length > 0) throw otherShape(differences);
  return records;
}

/** Why a part does not take its record; null: it does. */
function refusal(check: () => void): string | null {
  try {
    check();
    return null;
  } catch (error) {
    if (error instanceof ViommuError && error.code === "ERR_VIOMMU_SNAPSHOT") return error.message;
    throw error;
  }
}

/** Pages of all regions together. */
function pagesOf(regions: Int32Array): number {
  let count = 0;
  for (let i = 2; i < regions.length; i += 3) count += regions[i]! >>> 0;
  return count;
}

/** Whether a chunk holds pages, or numbers of pages of zeros, out of `count`. */
function arePages({ kind, words }: Chunk, count: number): boolean {
  if (kind !== ChunkKind.PAGES && kind !== ChunkKind.ZEROS) return false;
  const numbers = kind === ChunkKind.ZEROS ? words.length : words.length / (1 + PAGE_WORDS);
  if (!Number.isInteger(numbers)) return false;
  return words.subarray(0, numbers).every((page) => page >= 0 && page < count);
}

function writePages(pages: DomainPages, words: Int32Array): void {
  const count = words.length / (1 + PAGE_WORDS);
  for (let i = 0; i < count; i += 1) {
    const from = words.byteOffset + 4 * count + i * PAGE;
    pages.write(words[i]!, new Uint8Array(words.buffer, from, PAGE));
  }
}
