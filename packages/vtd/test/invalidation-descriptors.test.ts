import type { Invalidation } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import type { ProfileOptions } from "../src/index.ts";
import { Bench } from "./support/bench.ts";

const page = { hi: 0, lo: 0x20_0000, order: 9, leafOnly: false };
const everything = { hi: 0, lo: 0, order: 52, leafOnly: false };
const context = { kind: "context", domainId: 0, sourceId: 0, functionMask: 0 } as const;

type Case = [string, bigint, bigint, Invalidation];

/** Words as drivers write them, and what they invalidate. */
const LEGACY: Case[] = [
  ["context global", 0x11n, 0n, { ...context, granularity: "global" }],
  ["context domain 5", 0x5_0021n, 0n, { ...context, granularity: "domain", domainId: 5 }],
  [
    "context device 10h in domain 5",
    0x10_0005_0031n,
    0n,
    { ...context, granularity: "device", domainId: 5, sourceId: 0x10 },
  ],
  [
    "context device, function bits 2:1 masked",
    0x2_0010_0005_0031n,
    0n,
    { ...context, granularity: "device", domainId: 5, sourceId: 0x10, functionMask: 6 },
  ],
  ["IOTLB global", 0x12n, 0n, { kind: "iotlb", granularity: "global", domainId: 0, ...everything }],
  [
    "IOTLB global, drained",
    0xd2n,
    0n,
    { kind: "iotlb", granularity: "global", domainId: 0, ...everything },
  ],
  [
    "IOTLB domain 5",
    0x5_00e2n,
    0n,
    { kind: "iotlb", granularity: "domain", domainId: 5, ...everything },
  ],
  [
    "IOTLB 2 MiB in domain 5",
    0x5_00f2n,
    0x20_0009n,
    { kind: "iotlb", granularity: "page", domainId: 5, ...page },
  ],
  [
    "IOTLB 2 MiB, low bits filled",
    0x5_00f2n,
    0x3f_f009n,
    { kind: "iotlb", granularity: "page", domainId: 5, ...page },
  ],
  [
    "IOTLB leaf page, as Linux unmaps it",
    0x4_00f2n,
    0xffff_d040n,
    {
      kind: "iotlb",
      granularity: "page",
      domainId: 4,
      hi: 3,
      lo: 0x3fff_d000,
      order: 0,
      leafOnly: true,
    },
  ],
  [
    "IOTLB page, address bits from MGAW up",
    0x5_00f2n,
    0xabcd_8000_0000_1000n,
    {
      kind: "iotlb",
      granularity: "page",
      domainId: 5,
      hi: 0x2_0000,
      lo: 0x1000,
      order: 0,
      leafOnly: false,
    },
  ],
  ["IEC global", 0x4n, 0n, { kind: "interrupt-entry", index: 0, count: 65536 }],
  ["IEC index 12h", 0x12_0000_0014n, 0n, { kind: "interrupt-entry", index: 0x12, count: 1 }],
  ["IEC 4 from 10h", 0x10_1000_0014n, 0n, { kind: "interrupt-entry", index: 0x10, count: 4 }],
  ["IEC 4 around 13h", 0x13_1000_0014n, 0n, { kind: "interrupt-entry", index: 0x10, count: 4 }],
];

const SCALABLE: Case[] = [
  ["context domain: all of them", 0x5_0021n, 0n, { ...context, granularity: "global" }],
  [
    "PASID-cache domain 5",
    0x5_0007n,
    0n,
    { kind: "pasid-cache", granularity: "domain", domainId: 5, pasid: 0 },
  ],
  [
    "PASID-cache PASID 21h in domain 5",
    0x21_0005_0017n,
    0n,
    { kind: "pasid-cache", granularity: "pasid", domainId: 5, pasid: 0x21 },
  ],
  [
    "PASID-cache global",
    0x37n,
    0n,
    { kind: "pasid-cache", granularity: "global", domainId: 0, pasid: 0 },
  ],
  [
    "PASID-based IOTLB, whole PASID",
    0x21_0005_0026n,
    0n,
    { kind: "pasid-iotlb", granularity: "pasid", domainId: 5, pasid: 0x21, ...everything },
  ],
  [
    "PASID-based IOTLB, 2 MiB",
    0x21_0005_0036n,
    0x20_0009n,
    { kind: "pasid-iotlb", granularity: "page", domainId: 5, pasid: 0x21, ...page },
  ],
  [
    "PASID-based IOTLB, canonical upper half",
    0xf_ffff_0005_0036n,
    0xffff_ffff_ffff_f040n,
    {
      kind: "pasid-iotlb",
      granularity: "page",
      domainId: 5,
      pasid: 0xf_ffff,
      hi: -1,
      lo: 0x3fff_f000,
      order: 0,
      leafOnly: true,
    },
  ],
  [
    "PASID-based IOTLB, any mask",
    0x21_0005_0036n,
    0xffff_ffff_ffff_f03fn,
    { kind: "pasid-iotlb", granularity: "page", domainId: 5, pasid: 0x21, ...everything },
  ],
];

const permissions = { kind: "host-permission", hi: 0, lo: 0, order: 52, levels: 4 } as const;

/** With host permission tables and host addresses of 46 bits. */
const HOST_PERMISSION: Case[] = [
  ["global", 0x7_001an, 0x9000n, { ...permissions, granularity: "global", domainId: 0 }],
  [
    "domain 5, entries of level 1",
    0x5_002an,
    0x9000n,
    { ...permissions, granularity: "domain", domainId: 5, levels: 1 },
  ],
  [
    "2 MiB in domain 5, up to level 2",
    0x5_003an,
    0x3f_f049n,
    { ...permissions, ...{ granularity: "page", domainId: 5, lo: 0x20_0000, order: 9, levels: 2 } },
  ],
  [
    "page, domain-id and address bits beyond the widths",
    0x8005_003an,
    0xffff_c000_0000_10c0n,
    { ...permissions, ...{ granularity: "page", domainId: 5, lo: 0x1000, order: 0 } },
  ],
];

const scalable = (options: ProfileOptions = {}): Bench => {
  const bench = new Bench({ scalableMode: true, abortDma: true, ...options });
  bench.setRoot(0x400n);
  bench.enableQueue(0, true);
  bench.invalidations.length = 0;
  return bench;
};

const HPT: ProfileOptions = { deviceTlb: true, hostPermissionTables: true };

describe("in 128 bits (VT-d 6.5.2)", () => {
  it.each(LEGACY)("%s", (_name, low, high, what) => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit([low, high]);
    expect(bench.queueError()).toBe(0);
    expect(bench.invalidations).toEqual([what]);
  });

  it("ignores domain-id bits beyond the width", () => {
    const bench = new Bench({ domainIdBits: 4 });
    bench.enableQueue();
    bench.submit([0x1235_0021n, 0n], [0x1235_0022n, 0n]);
    expect(bench.invalidations).toMatchObject([{ domainId: 5 }, { domainId: 5 }]);
  });

  it("builds nothing for observers that are not there", () => {
    const bench = new Bench();
    bench.hooks.invalidate = null;
    bench.enableQueue();
    bench.submit(...LEGACY.map(([, low, high]): [bigint, bigint] => [low, high]));
    expect(bench.queueError()).toBe(0);
    expect(bench.unit.dma.counters.invalidations).toBe(11);
  });
});

describe("in 256 bits, in scalable mode (VT-d 6.5.2)", () => {
  it.each([...LEGACY.filter(([name]) => !name.startsWith("context domain")), ...SCALABLE])(
    "%s",
    (_name, low, high, what) => {
      const bench = scalable();
      bench.submitWide([low, high]);
      expect(bench.queueError()).toBe(0);
      expect(bench.invalidations).toEqual([what]);
    },
  );

  it.each([
    ["PASID-cache: granularity 2", 0x27n, 0n],
    ["PASID-cache: bit 12", 0x1037n, 0n],
    ["PASID-cache: bit 52", 0x10_0000_0000_0037n, 0n],
    ["PASID-based IOTLB: granularity 0", 0x6n, 0n],
    ["PASID-based IOTLB: granularity 1", 0x16n, 0n],
    ["PASID-based IOTLB: bit 7 of the high half", 0x26n, 0x80n],
    ["PASID-based device-TLB: bit 1 of the high half", 0x8n, 2n],
    ["PASID-based device-TLB: PFSID without DIT", 0x1008n, 0n],
    ["page group response: bit 5", 0x39n, 0n],
    ["page group response: bit 0 of the high half", 0x9n, 1n],
    ["page group response: bit 12 of the high half", 0x9n, 0x1000n],
  ])("4: %s", (_name, low, high) => {
    const bench = scalable({ deviceTlb: true, pageRequests: true });
    bench.submitWide([low, high]);
    expect(bench.queueError()).toBe(4);
  });

  it.each([
    ["8 without DT", 0x8n],
    ["9 without PRS", 0x9n],
    ["Ah without HPTS", 0x1an],
    ["Bh", 0xbn],
  ])("3: type %s", (_name, low) => {
    const bench = scalable();
    bench.submitWide([low, 0n]);
    expect(bench.queueError()).toBe(3);
  });

  it.each(HOST_PERMISSION)("host permission cache: %s", (_name, low, high, what) => {
    const bench = scalable({ ...HPT, hostAddressWidth: 46, domainIdBits: 14 });
    bench.submitWide([low, high]);
    expect(bench.queueError()).toBe(0);
    expect(bench.invalidations).toEqual([what]);
  });

  it.each([
    ["granularity 0", 0xan, 0n],
    ["bit 6", 0x5an, 0n],
    ["bit 12", 0x101an, 0n],
    ["bit 32", 0x1_0000_001an, 0n],
    ["bit 8 of the high half", 0x1an, 0x100n],
  ])("4: host permission cache: %s", (_name, low, high) => {
    const bench = scalable(HPT);
    bench.submitWide([low, high]);
    expect(bench.queueError()).toBe(4);
  });

  it("SRTP drops host permissions, too (VT-d 6.5.3.2)", () => {
    const bench = scalable(HPT);
    bench.setRoot(0x400n);
    expect(bench.invalidations.at(-1)).toEqual({
      ...permissions,
      granularity: "global",
      domainId: 0,
    });
  });

  it("accepts PFSID with DIT", () => {
    const bench = scalable({ deviceTlb: true, deviceTlbThrottle: true });
    bench.submitWide([0xfff0_0010_0000_f003n, 0n], [0xfff0_0021_0010_f008n, 0n]);
    expect(bench.queueError()).toBe(0);
    expect(bench.invalidations).toMatchObject([
      { kind: "device-tlb", sourceId: 0x10, pasid: -1 },
      { kind: "device-tlb", sourceId: 0x10, pasid: 0x21 },
    ]);
  });
});

describe("page group responses (VT-d 7.6.1)", () => {
  it("go to the devices", () => {
    const responses: number[][] = [];
    const bench = new Bench(
      { scalableMode: true, deviceTlb: true, pageRequests: true },
      { pageResponses: { respond: (...response) => responses.push(response) } },
    );
    bench.setRoot(0x400n);
    bench.enableQueue(0, true);
    bench.submitWide(
      [0x21_0010_0019n, 0x1cn],
      [0x21_0010_1019n, 0x1cn],
      [0x21_0010_f019n, 0xff8n],
      [0x21_0010_0009n, 0n],
    );
    expect(bench.queueError()).toBe(0);
    expect(responses).toEqual([
      [0x10, 0x21, 3, 0],
      [0x10, 0x21, 3, 1],
      [0x10, 0x21, 0x1ff, 0xf],
      [0x10, -1, 0, 0],
    ]);
  });
});
