import type { Profile } from "@viommu/vtd";
import type { ConfigPath } from "./error.ts";
import type { AddressRange } from "./guest-config.ts";
import { hex } from "./rule.ts";
import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";

const PAGE = 0x1000;
const FOUR_GIB = 2 ** 32;
/** Memory given as one size ends here, and goes on at 4 GiB: in between are registers. */
const LOW_MEMORY_END = 0xc000_0000;
/** Writes to it are interrupts (SDM vol. 3, 11.11.1). */
const INTERRUPT_RANGE = { base: 0xfee0_0000, size: 0x10_0000 };
const IOAPIC_BYTES = PAGE;
const FIRST_BAR = 0xd000_0000;

/** Bytes of the registers, vector table and pending bits of a device. */
const BAR_BYTES = 0x1_0000;

interface MappedRange extends AddressRange {
  readonly what: string;
  readonly path: ConfigPath;
}

/** Guest memory: the ranges given, or a size cut at the hole below 4 GiB. */
export function memoryRanges({ memory }: GuestDescription): readonly AddressRange[] {
  if (typeof memory !== "number") return memory;
  const low = { base: 0, size: Math.min(memory, LOW_MEMORY_END) };
  const rest = memory - low.size;
  return rest === 0 ? [low] : [low, { base: FOUR_GIB, size: rest }];
}

/** Bytes of the registers of a unit: they lie where CAP and ECAP say (VT-d 11.4.2, 11.4.3). */
export function registerBytes({ capabilities }: Profile): number {
  const { FRO, NFR, IRO } = capabilities;
  const end = Math.max(FRO * 16 + (NFR + 1) * 16, IRO * 16 + 16);
  return Math.ceil(end / PAGE) * PAGE;
}

/**
 * Checks that everything with an address has one of its own, and gives devices without one theirs.
 * Returns the address of each device's registers.
 */
export function checkAddressMap(
  guest: GuestDescription,
  profiles: readonly Profile[],
  refuse: Refuse,
): number[] {
  const ranges = [
    { ...INTERRUPT_RANGE, what: "the interrupt range", path: [] },
    ...memoryMap(guest, refuse),
    ...guest.ioapics.map(({ base, name }, i) => {
      const path = ["ioapics", i, "base"];
      requireAligned(base, PAGE, path, refuse);
      if (base >= FOUR_GIB) refuse(path, "is above 4 GiB", "give an address below (ACPI 5.2.12.3)");
      return { base, size: IOAPIC_BYTES, what: `"${name}"`, path };
    }),
    ...unitMap(guest, profiles, refuse),
    ...guest.devices.flatMap(({ bar, name }, i) => {
      if (bar === undefined) return [];
      const path = ["devices", i, "bar"];
      requireAligned(bar, BAR_BYTES, path, refuse);
      return [{ base: bar, size: BAR_BYTES, what: `"${name}"`, path }];
    }),
  ];
  checkOverlap(ranges, refuse);
  checkWidth(ranges, guest.hostAddressWidth, refuse);
  return placeBars(guest, ranges);
}

function memoryMap(guest: GuestDescription, refuse: Refuse): MappedRange[] {
  const listed = typeof guest.memory !== "number";
  return memoryRanges(guest).map(({ base, size }, i) => {
    const path = listed ? ["memory", i] : ["memory"];
    requireAligned(base, PAGE, listed ? [...path, "base"] : path, refuse);
    requireAligned(size, PAGE, listed ? [...path, "size"] : path, refuse);
    return { base, size, what: "memory", path };
  });
}

function unitMap(
  { units }: GuestDescription,
  profiles: readonly Profile[],
  refuse: Refuse,
): MappedRange[] {
  return units.map(({ base, name }, i) => {
    const path = ["units", i, "base"];
    const size = registerBytes(profiles[i]!);
    requireAligned(base, 2 ** Math.ceil(Math.log2(size)), path, refuse);
    return { base, size, what: `"${name}"`, path };
  });
}

function requireAligned(value: number, unit: number, path: ConfigPath, refuse: Refuse): void {
  if (value % unit !== 0) refuse(path, `is no multiple of ${hex(unit)}`, "align it");
}

function checkOverlap(ranges: readonly MappedRange[], refuse: Refuse): void {
  const sorted = [...ranges].sort((a, b) => a.base - b.base);
  sorted.slice(1).forEach((above, i) => {
    const below = sorted[i]!;
    if (below.base + below.size <= above.base) return;
    // told where a user can change it: the interrupt range is fixed
    const [at, other] = above.path.length === 0 ? [below, above] : [above, below];
    refuse(
      at.path,
      `has ${hex(at.base)}-${hex(at.base + at.size - 1)}, which overlaps ${other.what} at ` +
        `${hex(other.base)}-${hex(other.base + other.size - 1)}`,
      "move one of them",
    );
  });
}

function checkWidth(ranges: readonly MappedRange[], width: number, refuse: Refuse): void {
  for (const { base, size, path } of ranges) {
    if (base + size <= 2 ** width) continue;
    refuse(
      path,
      `ends above the ${width}-bit host address width`,
      "move it, or widen hostAddressWidth",
    );
  }
}

/** As firmware does it: one behind the other below 4 GiB, around what is there. */
function placeBars({ devices }: GuestDescription, ranges: readonly AddressRange[]): number[] {
  let next = FIRST_BAR;
  return devices.map(({ bar }) => {
    if (bar !== undefined) return bar;
    while (ranges.some(({ base, size }) => next < base + size && base < next + BAR_BYTES)) {
      next += BAR_BYTES;
    }
    const chosen = next;
    next += BAR_BYTES;
    return chosen;
  });
}
