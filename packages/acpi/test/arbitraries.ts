import fc from "fast-check";
import { processorEntry } from "../src/index.ts";
import type {
  DeviceScope,
  Dmar,
  DmarStructure,
  Drhd,
  Madt,
  MadtEntry,
  ScopeFlag,
  Signal,
  TableHeader,
  Unknown,
} from "../src/index.ts";

const byte = fc.integer({ min: 0, max: 0xff });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const ascii = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)),
    maxLength,
  });

const header = (revision: number): fc.Arbitrary<TableHeader> =>
  fc.record({
    revision: fc.constant(revision),
    oemId: ascii(6),
    oemTableId: ascii(8),
    oemRevision: uint32,
    creatorId: ascii(4),
    creatorRevision: uint32,
  });

const unknown = (min: number, max: number): fc.Arbitrary<Unknown> =>
  fc.record({
    type: fc.constant("UNKNOWN"),
    code: fc.integer({ min, max }),
    bytes: fc.uint8Array({ maxLength: 40 }),
  });

const step = fc.record({
  device: fc.integer({ min: 0, max: 31 }),
  function: fc.integer({ min: 0, max: 7 }),
});

/** Devices that differ in their first step, so that none is behind another. */
const devices = fc.uniqueArray(
  fc.record({
    type: fc.constantFrom("PCI_ENDPOINT" as const, "PCI_SUB_HIERARCHY" as const),
    startBus: byte,
    path: fc.array(step, { minLength: 1, maxLength: 5 }),
  }),
  {
    maxLength: 8,
    selector: ({ startBus, path: [first] }) => `${startBus} ${first!.device} ${first!.function}`,
  },
);

/** I/O APICs and HPETs with source-ids and numbers of their own. */
const interruptSources = fc
  .uniqueArray(
    fc.record({
      type: fc.constantFrom("IOAPIC" as const, "MSI_CAPABLE_HPET" as const),
      startBus: byte,
      path: step.map((only) => [only]),
      enumerationId: byte,
    }),
    { maxLength: 4, selector: ({ enumerationId }) => enumerationId },
  )
  .filter(
    (list) =>
      new Set(list.map(({ startBus, path }) => JSON.stringify([startBus, path]))).size ===
      list.length,
  );

const namedDevices = fc.uniqueArray(
  fc.record({ deviceNumber: byte, name: ascii(20), startBus: byte, place: step }),
  { maxLength: 3, selector: ({ deviceNumber }) => deviceNumber },
);

const scopeFlags = fc.subarray<ScopeFlag>([
  "REQ_WO_PASID_NESTED_NOTALLOWED",
  "REQ_WO_PASID_PWSNP_NOTALLOWED",
  "REQ_WO_PASID_PGSNP_NOTALLOWED",
  "ATC_HARDENED",
  "ATC_REQUIRED",
]);

const segmentParts = fc.record({
  devices,
  takesAll: fc.boolean(),
  sizes: fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 3 }),
  laterScope: fc.option(unknown(6, 0xff)),
  region: fc.option(
    fc.record({
      page: fc.integer({ min: 0, max: 2 ** 38 }),
      pages: fc.integer({ min: 1, max: 2 ** 20 }),
    }),
  ),
  allPorts: fc.option(fc.boolean()),
  caches: fc.option(fc.boolean()),
  properties: fc.option(scopeFlags),
});

type SegmentParts = typeof segmentParts extends fc.Arbitrary<infer T> ? T : never;

interface Drafts {
  readonly units: Drhd[];
  readonly others: DmarStructure[];
}

/** Structures of one segment: devices dealt out to its units, some of them named again elsewhere. */
function draft(segment: number, parts: SegmentParts, special: readonly DeviceScope[]): Drafts {
  const pci = parts.devices.map((device): DeviceScope => ({
    ...device,
    flags: [],
    enumerationId: 0,
  }));
  const last = parts.sizes.length - 1;
  const units = parts.sizes.map((size, i): Drhd => {
    const all = parts.takesAll && i === last;
    const later = i === 0 && parts.laterScope !== null ? [parts.laterScope] : [];
    const own = all ? [] : pci.filter((_, n) => n % parts.sizes.length === i);
    return {
      type: "DRHD",
      flags: all ? ["INCLUDE_PCI_ALL"] : [],
      size,
      segment,
      registerBase: 0,
      scopes: [...own, ...(i === last ? special : []), ...later],
    };
  });
  const under = units.flatMap(({ scopes }) => scopes.filter((s) => s.type.startsWith("PCI_")));
  const bridges = pci.filter(({ type }) => type === "PCI_SUB_HIERARCHY");
  const integrated = pci.filter(({ type, path }) => type === "PCI_ENDPOINT" && path.length === 1);
  const others: DmarStructure[] = [];
  if (parts.region !== null && under.length > 0) {
    const base = parts.region.page * 0x1000;
    const limit = base + parts.region.pages * 0x1000 - 1;
    others.push({ type: "RMRR", segment, base, limit, scopes: under.slice(0, 2) });
  }
  if (parts.allPorts !== null) {
    const [flags, scopes] = parts.allPorts ? [["ALL_PORTS" as const], []] : [[], bridges];
    others.push({ type: "ATSR", flags, segment, scopes });
  }
  if (parts.caches !== null) {
    const flags = parts.caches ? ["ATC_REQUIRED" as const] : [];
    others.push({ type: "SATC", flags, segment, scopes: integrated });
  }
  if (parts.properties !== null) {
    const flags = parts.properties;
    others.push({ type: "SIDP", segment, scopes: integrated.map((s) => ({ ...s, flags })) });
  }
  return { units, others };
}

/** Register sets one above the other, each aligned to its size. */
function place(units: readonly Drhd[], from: number): Drhd[] {
  let next = from;
  return units.map((unit) => {
    const bytes = 2 ** (unit.size + 12);
    const registerBase = Math.ceil(next / bytes) * bytes;
    next = registerBase + bytes;
    return { ...unit, registerBase };
  });
}

const ORDER = ["DRHD", "RMRR", "ATSR", "RHSA", "ANDD", "SATC", "SIDP", "UNKNOWN"];

/** DMAR tables which keep all rules, with everything in them that a DMAR can hold. */
export const dmar: fc.Arbitrary<Dmar> = fc
  .record({
    header: header(1),
    hostAddressWidth: fc.integer({ min: 40, max: 64 }),
    flags: fc.constantFrom<Dmar["flags"][]>(
      [],
      ["INTR_REMAP"],
      ["INTR_REMAP", "X2APIC_OPT_OUT"],
      ["INTR_REMAP", "X2APIC_OPT_OUT", "DMA_CTRL_PLATFORM_OPT_IN_FLAG"],
      ["DMA_CTRL_PLATFORM_OPT_IN_FLAG"],
    ),
    segments: fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 0xffff }), segmentParts), {
      minLength: 1,
      maxLength: 3,
      selector: ([segment]) => segment,
    }),
    from: fc.integer({ min: 1, max: 2 ** 27 }).map((page) => page * 0x1000),
    interruptSources,
    namedDevices,
    proximity: fc.option(uint32),
    later: fc.array(unknown(7, 0xffff), { maxLength: 3 }),
  })
  .map(({ header, hostAddressWidth, flags, segments, from, proximity, later, ...parts }) => {
    const special = [
      ...parts.interruptSources.map((source): DeviceScope => ({ ...source, flags: [] })),
      ...parts.namedDevices.map(({ deviceNumber, startBus, place }): DeviceScope => ({
        type: "ACPI_NAMESPACE_DEVICE",
        flags: [],
        enumerationId: deviceNumber,
        startBus,
        path: [place],
      })),
    ];
    const drafts = segments.map(([segment, s], i) => draft(segment, s, i === 0 ? special : []));
    const units = place(
      drafts.flatMap((d) => d.units),
      from,
    );
    const near = units.map(({ registerBase }): DmarStructure[] =>
      proximity === null ? [] : [{ type: "RHSA", registerBase, proximityDomain: proximity }],
    );
    const names = parts.namedDevices.map(({ deviceNumber, name }): DmarStructure => ({
      type: "ANDD",
      deviceNumber,
      objectName: `\\${name}`,
    }));
    const structures = [
      ...units,
      ...drafts.flatMap((d) => d.others),
      ...near.flat(),
      ...names,
      ...later.sort((a, b) => a.code - b.code),
    ].sort((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type));
    return { header, hostAddressWidth, flags, structures };
  });

const signal: fc.Arbitrary<Signal> = fc.record({
  polarity: fc.constantFrom("CONFORMS", "ACTIVE_HIGH", "ACTIVE_LOW"),
  trigger: fc.constantFrom("CONFORMS", "EDGE", "LEVEL"),
});
const lint = fc.integer({ min: 0, max: 1 });
const unique32 = fc.uniqueArray(
  fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    uint32.filter((id) => id !== 0xffff_ffff),
  ),
  {
    minLength: 1,
    maxLength: 12,
  },
);

const processors = fc
  .tuple(unique32, unique32, fc.constantFrom([], ["ENABLED" as const], ["ONLINE_CAPABLE" as const]))
  .map(([uids, apicIds, flags]) =>
    uids
      .slice(0, apicIds.length)
      .map((uid, i) => processorEntry(uid, apicIds[i]!, i === 0 ? ["ENABLED"] : flags)),
  );

const ioApics = fc
  .tuple(
    fc.uniqueArray(byte, { maxLength: 4 }),
    fc.uniqueArray(uint32, { minLength: 4, maxLength: 4 }),
    fc.uniqueArray(uint32, { minLength: 4, maxLength: 4 }),
  )
  .map(([ids, addresses, bases]) =>
    ids.map((ioApicId, i): MadtEntry => ({
      type: "IO_APIC",
      ioApicId,
      address: addresses[i]!,
      interruptBase: bases[i]!,
    })),
  );

const overrides = fc.uniqueArray(
  fc.record({
    type: fc.constant("INTERRUPT_SOURCE_OVERRIDE" as const),
    bus: fc.constant(0),
    source: byte,
    interrupt: uint32,
    signal,
  }),
  { maxLength: 6, selector: ({ source }) => source },
);

const otherEntries: fc.Arbitrary<MadtEntry[]> = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant("NMI_SOURCE" as const), signal, interrupt: uint32 }),
    fc.record({
      type: fc.constant("LOCAL_APIC_NMI" as const),
      uid: fc.constant(0xff),
      signal,
      lint,
    }),
    fc.record({
      type: fc.constant("LOCAL_X2APIC_NMI" as const),
      signal,
      uid: fc.constant(0xffff_ffff),
      lint,
    }),
    unknown(11, 0xff),
  ),
  { maxLength: 6 },
);

const addressOverride = fc.array(
  fc.record({
    type: fc.constant("LOCAL_APIC_ADDRESS_OVERRIDE" as const),
    address: fc.nat(Number.MAX_SAFE_INTEGER),
  }),
  { maxLength: 1 },
);

/** MADTs which keep all rules, with everything in them that a MADT can hold, in any order. */
export const madt: fc.Arbitrary<Madt> = fc
  .tuple(processors, ioApics, overrides, otherEntries, addressOverride)
  .chain((parts) => {
    const entries: MadtEntry[] = parts.flat();
    return fc.record({
      header: header(5),
      localApicAddress: uint32,
      flags: fc.subarray<"PCAT_COMPAT">(["PCAT_COMPAT"]),
      entries: fc.shuffledSubarray(entries, { minLength: entries.length }),
    });
  });
