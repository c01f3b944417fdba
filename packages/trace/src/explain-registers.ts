import { MOVABLE_REGISTERS, REGISTERS } from "@viommu/vtd-spec";
import type { Capabilities, RegisterLayout } from "@viommu/vtd-spec";
import type { ExplainedTables } from "./explain-tables.ts";
import { hex } from "./text.ts";

/** A register at its place in a unit. */
interface PlacedRegister {
  readonly layout: RegisterLayout;
  /** Name, with the index in an array. */
  readonly name: string;
  readonly offset: number;
}

/** The registers that lie in this range of bytes, in the order of their offsets. */
function registersIn(capabilities: Capabilities, offset: number, size: number): PlacedRegister[] {
  return [...REGISTERS, ...MOVABLE_REGISTERS]
    .flatMap((layout) => places(layout, capabilities))
    .filter(
      (register) =>
        register.offset < offset + size && offset < register.offset + register.layout.bits / 8,
    );
}

/** Adds a step for each register in the range; `value` is what the access carried. */
export function showRegisters(
  tables: ExplainedTables,
  offset: number,
  size: number,
  value: bigint,
): void {
  for (const { layout, name, offset: at } of registersIn(tables.capabilities, offset, size)) {
    const words = new Int32Array(layout.bits / 32);
    for (let i = 0; i < words.length; i += 1) {
      const shift = 8 * (at + 4 * i - offset);
      if (shift >= 0 && shift < 8 * size) {
        words[i] = Number((value >> BigInt(shift)) & 0xffff_ffffn) | 0;
      }
    }
    tables.show(layout, name, words, hex(at));
  }
}

function places(layout: RegisterLayout, capabilities: Capabilities): PlacedRegister[] {
  const base = baseOf(layout, capabilities);
  if (base === undefined) return [];
  const isFaultRecord = layout.base === "FRO";
  const count = isFaultRecord ? capabilities.NFR + 1 : (layout.count ?? 1);
  return Array.from({ length: count }, (_, i) => ({
    layout,
    name: count > 1 || isFaultRecord ? `${layout.name}[${i}]` : layout.name,
    offset: base + layout.offset + i * (layout.stride ?? 0),
  }));
}

/** Where a register counts from; undefined for those of the performance monitor. */
function baseOf({ base }: RegisterLayout, capabilities: Capabilities): number | undefined {
  if (base === undefined) return 0;
  if (base === "IRO") return 16 * capabilities.IRO;
  return base === "FRO" ? 16 * capabilities.FRO : undefined;
}
