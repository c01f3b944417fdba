import type { DmaRemapper } from "@viommu/plugin";
import type { ProfileOptions, UnitSettings } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { dmaRemapperConformance } from "../src/index.ts";
import type { DmaRemapperHarness } from "../src/index.ts";
import { passesAll } from "./mutants.ts";
import { pageMapHarness, PageMapRemapper } from "./page-map-remapper.ts";
import { DeviceTables, VtdMachine } from "./vtd-machine.ts";

function vtdHarness(
  levels: number,
  profile?: ProfileOptions,
  settings?: Partial<UnitSettings>,
): DmaRemapperHarness {
  const machine = new VtdMachine(profile, settings);
  const tables = new DeviceTables(machine.space, levels);
  machine.translateWith(tables.root);
  return {
    remapper: machine.unit.dma,
    mappings: {
      map: (mapping) => {
        tables.map(mapping);
      },
      unmap: (mapping) => {
        tables.unmap(mapping);
      },
      sync: () => machine.invalidate(),
    },
    reported: () => machine.faults,
    state: () => machine.state(),
  };
}

describe("VtdUnit.dma, tables of 4 levels", () => {
  passesAll(dmaRemapperConformance(() => vtdHarness(4)));
});

describe("VtdUnit.dma, tables of 3 levels, an IOTLB with one entry", () => {
  passesAll(
    dmaRemapperConformance(() => vtdHarness(3, { addressWidths: [39] }, { iotlbSlots: 1 })),
  );
});

describe("VtdUnit.dma, tables of 5 levels, device-TLBs, no zero-length reads", () => {
  const profile: ProfileOptions = {
    addressWidths: [57],
    deviceTlb: true,
    zeroLengthRead: false,
    cachingMode: true,
  };
  passesAll(dmaRemapperConformance(() => vtdHarness(5, profile)));
});

describe("VtdUnit.dma, switched off", () => {
  passesAll(
    dmaRemapperConformance(() => {
      const machine = new VtdMachine();
      return {
        remapper: machine.unit.dma,
        mappings: null,
        reported: () => machine.faults,
        state: () => machine.state(),
      };
    }),
  );
});

/** The example of @viommu/plugin. */
const identity: DmaRemapper = {
  segment: 0,
  translate(request) {
    request.outHi = request.hi;
    request.outLo = request.lo;
    request.granted = request.access;
    request.pageShift = 12;
    return 0;
  },
  probe(request) {
    return this.translate(request);
  },
  enter: () => 0,
  leave: () => undefined,
};

describe("an identity", () => {
  const checks = dmaRemapperConformance(() => ({
    remapper: identity,
    mappings: null,
    reported: () => 0,
    state: () => "",
  }));
  passesAll(checks);

  it("is not asked for mappings", () => {
    const all = dmaRemapperConformance(() => pageMapHarness(new PageMapRemapper()));
    expect(all.length - checks.length).toBe(10);
  });
});

describe("a remapper of no vendor", () => {
  passesAll(dmaRemapperConformance(() => pageMapHarness(new PageMapRemapper())));
});
