import { decode, reservedMask } from "@viommu/vtd-spec";
import type { Capabilities, Field, FieldName, Layout } from "@viommu/vtd-spec";
import { meaningOf } from "./explain-meanings.ts";
import type { ExplainedField, ExplainedStep } from "./explanation.ts";
import { hex } from "./text.ts";
import type { TraceMemory } from "./trace-memory.ts";

/** An entry that was read: its fields, and whether a reserved bit is set. */
export interface ReadEntry<L extends Layout> {
  readonly fields: Readonly<Record<FieldName<L>, bigint>>;
  readonly reserved: boolean;
}

/** Ways in which an entry differs from its layout, and what of it is shown. */
export interface ReadOptions {
  /** Further bits that are reserved. */
  readonly also?: bigint;
  /** Bits that are not reserved here. */
  readonly except?: bigint;
  /** Fields with a meaning that are of interest; absent: all. */
  readonly show?: (name: string) => boolean;
}

/** Reads table entries for an explanation and keeps what it saw, in order. */
export class ExplainedTables {
  readonly steps: ExplainedStep[] = [];
  readonly capabilities: Capabilities;
  /** Host address width in bits. */
  readonly hostAddressWidth: number;
  readonly #memory: TraceMemory;

  constructor(memory: TraceMemory, capabilities: Capabilities, hostAddressWidth: number) {
    this.#memory = memory;
    this.capabilities = capabilities;
    this.hostAddressWidth = hostAddressWidth;
  }

  /** One 64-bit word of guest memory, to choose a layout by; undefined where it is no memory. */
  word(address: bigint): bigint | undefined {
    return this.#memory.isReadable(address, 8)
      ? littleEndian(this.#memory.peek(address, 8))
      : undefined;
  }

  /** Reads an entry; undefined where it is no memory. */
  read<const L extends Layout>(
    layout: L,
    name: string,
    address: bigint,
    { also = 0n, except = 0n, show }: ReadOptions = {},
  ): ReadEntry<L> | undefined {
    const length = layout.bits / 8;
    const step = { name, chapter: layout.chapter, address: hex(address) };
    if (!this.#memory.isReadable(address, length)) {
      this.steps.push({ ...step, words: [], fields: [], note: "can't be read: no memory" });
      return undefined;
    }
    const bytes = this.#memory.peek(address, length);
    const words = Int32Array.from({ length: length / 4 }, (_, i) =>
      Number(littleEndian(bytes.subarray(4 * i, 4 * i + 4))),
    );
    const note = this.#memory.knows(address, length) ? "" : "not in the trace, taken as 0";
    const mask = reservedMask(layout, this.capabilities, this.hostAddressWidth);
    const reservedBits = (littleEndian(new Uint8Array(mask.buffer)) | also) & ~except;
    this.steps.push({ ...step, ...describe(layout, words, reservedBits, show), note });
    const reserved = (littleEndian(bytes) & reservedBits) !== 0n;
    return { fields: decode(layout, words), reserved };
  }

  /** Adds a step about something that lies in no memory: a register or a message. */
  show(layout: Layout, name: string, words: Int32Array, address?: string): void {
    const where = address === undefined ? {} : { address };
    this.steps.push({
      name,
      chapter: layout.chapter,
      ...where,
      ...describe(layout, words, 0n),
      note: "",
    });
  }

  /** Says what follows from the step added last. */
  note(text: string): void {
    const last = this.steps.pop();
    if (last === undefined) return;
    this.steps.push({ ...last, note: last.note === "" ? text : `${last.note}; ${text}` });
  }
}

/** Fields without a meaning here are shown only where they are not 0. */
function describe(
  layout: Layout,
  words: Int32Array,
  reservedBits: bigint,
  show: (name: string) => boolean = () => true,
): { words: string[]; fields: ExplainedField[] } {
  const values: Record<string, bigint> = decode<Layout>(layout, words);
  const raw: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const high = i + 1 < words.length ? BigInt(words[i + 1]! >>> 0) << 32n : 0n;
    raw.push(hex(high | BigInt(words[i]! >>> 0), Math.min(16, 8 * (words.length - i))));
  }
  const fields: ExplainedField[] = [];
  for (const field of layout.fields) {
    const { name, high, low } = field;
    const value = values[name]!;
    const bits = (1n << BigInt(high - low + 1)) - 1n;
    const reserved = ((reservedBits >> BigInt(low)) & bits) === bits;
    const kind = reserved ? "reserved" : field.kind;
    if (kind === undefined ? !show(name) : value === 0n) continue;
    fields.push({ name, value: hex(value), doc: documentation(kind, value, field.doc) });
  }
  return { words: raw, fields };
}

function documentation(kind: Field["kind"], value: bigint, doc = ""): string {
  if (kind === "reserved") return "reserved, has to be 0";
  return kind === "ignored" ? `ignored${doc && `: ${doc}`}` : meaningOf(doc, value);
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
