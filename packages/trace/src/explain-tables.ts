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

  /**
   * Reads an entry; undefined where it is no memory. `also` marks further bits as reserved, `except`
   * takes bits out.
   */
  read<const L extends Layout>(
    layout: L,
    name: string,
    address: bigint,
    { also = 0n, except = 0n }: { also?: bigint; except?: bigint } = {},
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
    this.steps.push({ ...step, ...describe(layout, words), note });
    const mask = reservedMask(layout, this.capabilities, this.hostAddressWidth);
    const reservedBits = (littleEndian(new Uint8Array(mask.buffer)) | also) & ~except;
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
      ...describe(layout, words),
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

function describe(
  layout: Layout,
  words: Int32Array,
): { words: string[]; fields: ExplainedField[] } {
  const values: Record<string, bigint> = decode<Layout>(layout, words);
  const raw: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const high = i + 1 < words.length ? BigInt(words[i + 1]! >>> 0) << 32n : 0n;
    raw.push(hex(high | BigInt(words[i]! >>> 0), Math.min(16, 8 * (words.length - i))));
  }
  const fields = layout.fields
    .filter(({ name, kind }) => kind === undefined || values[name] !== 0n)
    .map((field) => ({
      name: field.name,
      value: hex(values[field.name]!),
      doc: documentation(field, values[field.name]!),
    }));
  return { words: raw, fields };
}

function documentation({ kind, doc = "" }: Field, value: bigint): string {
  if (kind === "reserved") return "reserved, has to be 0";
  return kind === "ignored" ? `ignored${doc && `: ${doc}`}` : meaningOf(doc, value);
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
