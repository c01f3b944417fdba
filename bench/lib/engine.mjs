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
    NFR: 7,
    FRO: 0x40,
    IRO: 0x50,
  };
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

/** Our engine over the tables of `guestWithDevices`, with a read request of its first device. */
export function createEngine({ packages }, { guest, devices, rootTable }, options = {}) {
  const { plugin, memory, translation } = packages;
  const engine = new translation.TranslationEngine({
    ...engineOptions(packages, createGuestMemory(memory, guest)),
    reporter: { dmaFault: () => undefined },
    ...options,
  });
  engine.latchRoot(Math.floor(rootTable / 2 ** 30), rootTable % 2 ** 30, 0, 0);
  engine.setEnabled(true);
  const request = new plugin.DmaRequest();
  request.sourceId = devices[0].sourceId;
  request.access = plugin.Access.READ;
  return { engine, request };
}

/** The guest's buffer as the memory of a machine. */
export function createGuestMemory({ createMemory }, { buffer }) {
  return createMemory({ regions: [{ base: 0, size: buffer.byteLength, buffer }] });
}
