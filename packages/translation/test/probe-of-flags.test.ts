import { createMemory } from "@viommu/memory";
import { createHookTable } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { TranslationEngine } from "../src/index.ts";
import { answerOf, capabilitiesOf, requestOf } from "./support/machine.ts";

const TABLE = 0x10_0000;

/** One device in scalable mode; the paging structures lie in memory that is read-only, or not. */
function scalableMachine(entry: bigint[], tableEntries: bigint, readOnly: boolean) {
  const tables = new BigUint64Array(0x4000 / 8);
  for (const level of [0, 1, 2]) {
    tables[level * 512] = BigInt(TABLE + (level + 1) * 0x1000) | tableEntries;
  }
  tables[3 * 512] = 0x9000n | tableEntries;
  const memory = createMemory({
    regions: [
      { base: 0, size: TABLE },
      { base: TABLE, size: 0x4000, buffer: tables.buffer, readOnly },
    ],
  });
  memory.write64(0x1000, 0x2001n); // root
  memory.write64(0x2000 + 0x10 * 32, 0x3001n); // context of 00:02.0
  memory.write64(0x3000, 0x4001n); // PASID directory
  entry.forEach((qword, i) => {
    memory.write64(0x4000 + 8 * i, qword);
  });
  const engine = new TranslationEngine({
    memory,
    capabilities: capabilitiesOf({
      ND: 6,
      SAGAW: 4,
      MGAW: 47,
      QI: 1,
      SMTS: 1,
      FSTS: 1,
      SSTS: 1,
      SMPWCS: 1,
      SSADS: 1,
    }),
    hostAddressWidth: 46,
    segment: 0,
    reporter: { dmaFault: () => undefined },
    hooks: createHookTable(),
    unit: "dmar0",
  });
  engine.latchRoot(0, 0x1000, 1, false);
  engine.setEnabled(true);
  return { engine, tables };
}

describe("VT-d 3.6.2, 3.7.2: a probe of a request that has to set flags", () => {
  it.each([
    ["first stage", [0x41n, 0x80_0005n, BigInt(TABLE)], 7n, FaultReason.FS_FLAGS_UPDATE],
    ["second stage", [BigInt(TABLE) | 0x289n, 0x80_0005n, 0n], 3n, FaultReason.SM_SS_FLAGS_UPDATE],
  ])("%s: says what translate will say, and sets none", (_name, entry, bits, failed) => {
    for (const readOnly of [false, true]) {
      const { engine, tables } = scalableMachine(entry, bits, readOnly);
      const before = tables.slice();
      const request = requestOf({ address: 0x123n, access: 2 });
      const probed = answerOf(engine.probe(request), request);
      expect(tables).toEqual(before);
      expect(answerOf(engine.translate(request), request)).toEqual(probed);
      expect(probed.result).toBe(readOnly ? failed : 0);
      expect([...tables].some((word, i) => word !== before[i])).toBe(!readOnly);
    }
  });
});
