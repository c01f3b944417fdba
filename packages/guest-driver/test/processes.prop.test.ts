import { Access } from "@viommu/plugin";
import type { ProfileOptions } from "@viommu/vtd";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Domain, IommuDriver } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, Machine, MIB, PROCESSES } from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_123);
const DEVICES = [{ sourceId: 0x0010 }, { sourceId: 0x0390 }] as const;
const FIRST_PAGE = 0x7f00_0000n;
const PAGES = 12;
const PROCESS_COUNT = 3;
/** This one is nested on a second-stage domain. */
const NESTED = 2;

/** A process as the kernel knows it, and what a device may reach in it. */
interface Process {
  readonly pasid: number;
  readonly table: ProcessTable;
  readonly domain: Domain | null;
  /** Frame of each page, or -1. */
  readonly frames: number[];
  readonly boundTo: Set<number>;
  ended: boolean;
}

type Step =
  | { do: "bind" | "unbind" | "move"; device: number; process: number }
  | { do: "end"; process: number }
  | { do: "map" | "unmap"; process: number; page: number; frame: number }
  | { do: "dma"; device: number; process: number; page: number };

const device = fc.nat(DEVICES.length - 1);
const whose = fc.nat(PROCESS_COUNT - 1);
const page = fc.nat(PAGES - 1);
const frame = fc.nat(100);
const record = <T extends Step["do"]>(kind: T, rest: object) =>
  fc.record({ do: fc.constant(kind), ...rest }) as fc.Arbitrary<Extract<Step, { do: T }>>;
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: record("bind", { device, process: whose }) },
  { weight: 2, arbitrary: record("unbind", { device, process: whose }) },
  { weight: 1, arbitrary: record("move", { device, process: whose }) },
  { weight: 1, arbitrary: record("end", { process: whose }) },
  { weight: 4, arbitrary: record("map", { process: whose, page, frame }) },
  { weight: 3, arbitrary: record("unmap", { process: whose, page, frame }) },
  { weight: 9, arbitrary: record("dma", { device, process: whose, page }) },
);

/** Memory as the nested process knows it: moved by some pages. */
function nestedTable(machine: Machine, domain: Domain, base: number): ProcessTable {
  const tables = domain.map(base, MIB);
  const offset = base - tables;
  const access = {
    read: (address: number) => machine.memory.read64(address + offset),
    write: (address: number, value: bigint) => {
      machine.memory.write64(address + offset, value);
    },
  };
  return new ProcessTable(access, tables);
}

function createProcesses(machine: Machine, driver: IommuDriver, nesting: boolean): Process[] {
  return Array.from({ length: PROCESS_COUNT }, (_, i) => {
    const base = PROCESSES + i * MIB;
    const domain = nesting && i === NESTED ? driver.createDomain({ stage: "second" }) : null;
    return {
      pasid: driver.allocatePasid(),
      table: domain === null ? ProcessTable.in(machine, base) : nestedTable(machine, domain, base),
      domain,
      frames: Array.from({ length: PAGES }, () => -1),
      boundTo: new Set(),
      ended: false,
    };
  });
}

/** Carries the steps out, also those that cannot be, and checks each DMA. */
function run(profile: ProfileOptions, steps: readonly Step[]): void {
  const machine = new Machine({
    units: [
      {
        profile: { scalableMode: true, deviceTlb: true, pageRequests: true, ...profile },
      },
    ],
  });
  const driver = machine.start({ mode: "scalable", interruptEntries: 256 });
  for (const [i, { sourceId }] of DEVICES.entries()) {
    driver.setFeatures(DEVICES[i]!, { pasidBits: 20, deviceTlb: i === 0, pageRequests: i === 0 });
    driver.attach({ sourceId });
    driver.detach({ sourceId });
  }
  const nesting = profile.nested !== false;
  const processes = createProcesses(machine, driver, nesting);
  const data = processes.map(({ domain }) => domain?.map(BUFFERS, 8 * MIB) ?? BUFFERS);
  const before = driver.counters.pages;
  for (const action of steps) {
    const process = processes[action.process]!;
    const { pasid, table, frames, boundTo } = process;
    switch (action.do) {
      case "bind": {
        const { code } = thrown(() => {
          const options = process.domain === null ? {} : { domain: process.domain };
          driver.bindProcess(DEVICES[action.device]!, pasid, table.root, options);
        });
        const refused = boundTo.has(action.device) || (process.ended && boundTo.size > 0);
        expect(code !== "").toBe(refused);
        if (boundTo.size === 0) process.ended = false;
        if (!refused) boundTo.add(action.device);
        break;
      }
      case "unbind": {
        const { code } = thrown(() => {
          driver.unbindProcess(DEVICES[action.device]!, pasid);
        });
        expect(code === "").toBe(boundTo.delete(action.device));
        break;
      }
      case "move":
        driver.attach(DEVICES[action.device]!, {
          stage: nesting && action.process === 0 ? "second" : "first",
        });
        break;
      case "end":
        driver.endProcess(pasid);
        process.ended = true;
        break;
      case "map":
      case "unmap": {
        const virtual = FIRST_PAGE + BigInt(action.page) * 4096n;
        const old = frames[action.page]!;
        frames[action.page] = action.do === "map" ? action.frame : -1;
        if (action.do === "map") table.map(virtual, data[action.process]! + action.frame * 4096);
        else table.unmap(virtual);
        if (old >= 0) driver.invalidateRange(pasid, Number(virtual), 1);
        break;
      }
      case "dma": {
        const { sourceId } = DEVICES[action.device]!;
        const virtual = FIRST_PAGE + BigInt(action.page) * 4096n + 7n;
        const mapped = frames[action.page]!;
        const reached = machine.dmaWith(pasid, sourceId, virtual, Access.WRITE);
        const reachable = boundTo.has(action.device) && !process.ended && mapped >= 0;
        if (reachable) expect(reached).toBe(BUFFERS + mapped * 4096 + 7);
        else expect(reached).toBeLessThan(0);
      }
    }
  }
  for (const [i, each] of DEVICES.entries()) {
    for (const { boundTo, pasid } of processes) {
      if (boundTo.has(i)) driver.unbindProcess(each, pasid);
    }
    driver.detach(each);
  }
  for (const { pasid } of processes) driver.freePasid(pasid);
  expect(driver.counters.pages).toBe(before);
  expect(driver.counters.refused).toBe(0);
}

describe("a device reaches what a process has now, while it is bound, and nothing else", () => {
  it.each<[string, ProfileOptions]>([
    ["a unit of today", {}],
    ["caching mode", { cachingMode: true }],
    [
      "no page-selective invalidation, few domain-ids",
      {
        pageSelectiveInvalidation: false,
        domainIdBits: 4,
      },
    ],
    ["first stage alone", { secondStage: false, nested: false, addressWidths: [] }],
  ])("%s", (_name, profile) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 30, maxLength: 200 }), (steps) => {
        run(profile, steps);
      }),
      { seed, numRuns: 30 },
    );
  });
});
