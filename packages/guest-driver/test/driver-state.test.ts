import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Domain, DriverState, IommuDriver } from "../src/index.ts";
import { BUFFERS, Machine, PAGES } from "./support/machine.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0018 };

interface Running {
  readonly machine: Machine;
  readonly driver: IommuDriver;
  readonly domains: readonly Domain[];
}

function start(unmapping: "strict" | "lazy"): Running {
  const machine = new Machine();
  const driver = machine.start({ unmapping });
  return { machine, driver, domains: [driver.attach(NIC), driver.attach(DISK)] };
}

/** A second machine, started in the same way, that takes over from the first. */
function moved(from: Running, unmapping: "strict" | "lazy"): Running {
  const to = start(unmapping);
  to.domains[0]!.map(BUFFERS, 4096); // what it has done before counts for nothing
  const state = JSON.parse(JSON.stringify(from.driver.save())) as DriverState;
  const bytes = new Uint8Array(PAGES.size);
  from.machine.memory.readBytes(0, PAGES.base, bytes);
  expect(to.driver.fits(state)).toBe(true);
  to.machine.memory.writeBytes(0, PAGES.base, bytes);
  to.machine.unit.restore(from.machine.unit.save());
  to.driver.restore(state);
  return to;
}

type Step = (running: Running, mapped: [domain: number, iova: number][]) => unknown;

const map = fc
  .record({ domain: fc.nat(1), pages: fc.integer({ min: 1, max: 600 }), at: fc.nat(500) })
  .map(({ domain, pages, at }): Step => ({ domains }, mapped) => {
    const iova = domains[domain]!.map(BUFFERS + at * 4096, pages * 4096);
    mapped.push([domain, iova]);
    return iova;
  });
const unmap = fc.nat().map((which): Step => ({ domains }, mapped) => {
  const [[domain, iova] = [0, -1]] =
    mapped.length === 0 ? [] : mapped.splice(which % mapped.length, 1);
  if (iova >= 0) domains[domain]!.unmap(iova);
  return iova;
});
const other = fc.constantFrom<Step>(
  ({ driver }) => {
    driver.flush();
  },
  ({ driver }) => driver.requestInterrupts(NIC, 3).index,
  ({ machine }) => machine.dma(NIC.sourceId, 0x1234_5000),
  ({ driver }) => driver.serviceFaults(),
);
const steps = fc.array(
  fc.oneof({ weight: 4, arbitrary: map }, { weight: 3, arbitrary: unmap }, other),
  {
    maxLength: 40,
  },
);

describe("a driver that moves with its machine", () => {
  it.each(["strict", "lazy"] as const)("goes on as if it had not, unmapping %s", (unmapping) => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const stay = start(unmapping);
        const mapped: [number, number][] = [];
        for (const step of before) step(stay, mapped);
        const gone = moved(stay, unmapping);
        const mappedThere = structuredClone(mapped);
        for (const step of after) {
          expect(step(gone, mappedThere)).toEqual(step(stay, mapped));
        }
        expect(gone.driver.save()).toEqual(stay.driver.save());
        expect(gone.driver.counters).toEqual(stay.driver.counters);
        for (const [domain, iova] of mapped) {
          const { sourceId } = domain === 0 ? NIC : DISK;
          const reached = stay.machine.dma(sourceId, iova);
          expect(reached).toBeGreaterThan(0);
          expect(gone.machine.dma(sourceId, iova)).toBe(reached);
        }
      }),
      { seed, numRuns: 60 },
    );
  });

  it("does not fit where other devices are attached, or tables lie elsewhere", () => {
    const state = start("strict").driver.save();
    const other = new Machine().start();
    other.attach(DISK);
    other.attach(NIC);
    expect(other.fits(state)).toBe(false);
    const elsewhere = new Machine().start({ pages: { ...PAGES, base: PAGES.base + 4096 } });
    elsewhere.attach(NIC);
    elsewhere.attach(DISK);
    expect(elsewhere.fits(state)).toBe(false);
  });

  it("in scalable mode: PASIDs, processes that have ended, and groups of page requests too", () => {
    const answers: number[] = [];
    const build = () => {
      const machine = new Machine({
        units: [{ profile: { scalableMode: true, deviceTlb: true, pageRequests: true } }],
      });
      const driver = machine.start({
        mode: "scalable",
        onPageRequest: ({ pages }) => {
          answers.push(pages.length);
          return "success";
        },
      });
      driver.setFeatures(NIC, { deviceTlb: true, pageRequests: true, pasidBits: 20 });
      const [one, two] = [driver.allocatePasid(), driver.allocatePasid()];
      driver.bindProcess(NIC, one, 0x1000);
      driver.bindProcess(NIC, two, 0x2000);
      const ask = (last: boolean) =>
        machine.unit.pageRequest({
          sourceId: NIC.sourceId,
          pasid: two,
          hi: 0,
          lo: 0x5000,
          access: 1,
          group: 3,
          last,
        });
      return { machine, driver, one, two, ask };
    };
    const from = build();
    from.driver.endProcess(from.one);
    const extra = from.driver.allocatePasid(99);
    from.ask(false);
    from.driver.servicePageRequests();
    const to = build();
    to.driver.allocatePasid(98);
    const state = JSON.parse(JSON.stringify(from.driver.save())) as DriverState;
    const bytes = new Uint8Array(PAGES.size);
    from.machine.memory.readBytes(0, PAGES.base, bytes);
    expect(to.driver.fits(state)).toBe(true);
    to.machine.memory.writeBytes(0, PAGES.base, bytes);
    to.machine.unit.restore(from.machine.unit.save());
    to.driver.restore(state);
    expect(to.driver.save()).toEqual(from.driver.save());
    to.ask(true);
    to.driver.servicePageRequests();
    expect(answers).toEqual([2]);
    to.driver.freePasid(extra);
    expect(to.driver.allocatePasid(98)).toBe(98);
    expect(() => {
      to.driver.bindProcess(DISK, to.one, 0x1000); // it has ended
    }).toThrow();
  });
});
