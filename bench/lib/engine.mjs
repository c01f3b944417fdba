/** A unit's capabilities for the benchmarks: 3 to 5 levels, large pages, queue, interrupt remapping. */
function capabilities({ decodeCapabilities }) {
  return {
    ...decodeCapabilities(0n, 0n),
    ND: 6,
    SAGAW: 0b1110,
    MGAW: 56,
    SSLPS: 3,
    PSI: 1,
    MAMV: 18,
    QI: 1,
    IR: 1,
    EIM: 1,
    PT: 1,
    SMTS: 1,
    SSTS: 1,
    FSTS: 1,
    NEST: 1,
    DT: 1,
    HPTS: 1,
    PASID: 1,
    PSS: 19,
    SC: 1,
    NFR: 7,
    FRO: 0x40,
    IRO: 0x50,
  };
}

/** Bits of an address from 30 up, and below, as ints. */
export function hiOf(address) {
  return Math.floor(address / 2 ** 30) | 0;
}
export function loOf(address) {
  return (address % 2 ** 30) | 0;
}

/** What both engines take alike; nobody observes. */
export function engineOptions(packages, memory) {
  return {
    memory,
    capabilities: capabilities(packages["vtd-spec"]),
    hostAddressWidth: 46,
    segment: 0,
    hooks: packages.plugin.createHookTable(),
    unit: "bench",
  };
}

/** Our engine over the tables of a guest of kit.mjs, with a read request of its first device. */
export function createEngine({ packages }, setup, options = {}) {
  const { guest, devices, rootTable, scalable = false } = setup;
  const { plugin, memory, translation } = packages;
  const engine = new translation.TranslationEngine({
    ...engineOptions(packages, createGuestMemory(memory, guest)),
    reporter: { dmaFault: () => undefined },
    ...options,
  });
  engine.latchRoot(hiOf(rootTable), loOf(rootTable), scalable ? 1 : 0, false);
  engine.setEnabled(true);
  const request = new plugin.DmaRequest();
  request.sourceId = devices[0].sourceId;
  request.access = plugin.Access.READ;
  return { engine, request };
}

/**
 * The walker of an engine, the address space of the first device, and a walk from the top that leaves
 * no traces. They are no public part of the package: they are looked for in an engine that has
 * translated, by what they can do.
 */
export function walkerOf(kit, setup, address) {
  const { engine, request } = createEngine(kit, setup);
  request.hi = hiOf(address);
  request.lo = loOf(address);
  engine.translate(request);
  const space = findInside(
    engine,
    (part) => part.sourceId === request.sourceId && "way" in part,
  ).space;
  const walk = findInside(engine, (part) => "full" in part && "effects" in part);
  return { walker: space.walker, space, walk: Object.assign(walk, { full: true, effects: false }) };
}

/** The first object below `root` for which `matches` is true. */
function findInside(root, matches) {
  const seen = new Set([root]);
  for (const part of seen) {
    if (matches(part)) return part;
    if (ArrayBuffer.isView(part)) continue;
    const inside = part instanceof Map || part instanceof Set ? part.values() : Object.values(part);
    for (const value of inside) if (value !== null && typeof value === "object") seen.add(value);
  }
  throw new Error("the engine's parts have changed: look at walkerOf in bench/lib/engine.mjs");
}

/** The guest's buffer as the memory of a machine. */
export function createGuestMemory({ createMemory }, { buffer }) {
  return createMemory({ regions: [{ base: 0, size: buffer.byteLength, buffer }] });
}
