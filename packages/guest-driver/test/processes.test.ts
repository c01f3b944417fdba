import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import type { Domain, IommuDriver } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, GIB, Machine, MIB, PROCESSES } from "./support/machine.ts";
import { ACCESSED, DIRTY, ProcessTable } from "./support/page-table.ts";

const NIC = { sourceId: 0x0010 };
const GPU = { sourceId: 0x0320 };
const ENTRY_ABSENT = -FaultReason.PASID_ENTRY_NOT_PRESENT;
const NOT_PRESENT = -FaultReason.FS_NOT_PRESENT;
const VIRTUAL = 0x7f12_3456_7000n;

interface Bench {
  readonly machine: Machine;
  readonly driver: IommuDriver;
}

/** A NIC and a GPU with PASIDs, both attached to domains of the kernel. */
function start(profile: ProfileOptions = {}): Bench {
  const machine = new Machine({ units: [{ profile: { scalableMode: true, ...profile } }] });
  const driver = machine.start({ mode: "scalable" });
  for (const device of [NIC, GPU]) {
    driver.setFeatures(device, { pasidBits: 20 });
    driver.attach(device);
  }
  return { machine, driver };
}

describe("a process that a device sees (SVA)", () => {
  it.each([
    [4, 1, 0x7f12_3456_7000n, BUFFERS],
    [4, 2, 0x7f12_3460_0000n, 6 * MIB],
    [4, 3, 0x7f12_4000_0000n, 3 * GIB],
    [5, 1, 0x7f_1234_5678_9000n, BUFFERS],
    [5, 2, 0x7f_1234_5660_0000n, 6 * MIB],
    [5, 3, 0x7f_1234_4000_0000n, 3 * GIB],
  ] as const)(
    "levels %i, page at level %i: same addresses as the process, and A and D are set",
    (levels, level, virtual, physical) => {
      const { machine, driver } = start({ fiveLevelFirstStage: true });
      const table = ProcessTable.in(machine, PROCESSES, levels);
      const pasid = driver.allocatePasid();
      driver.bindProcess(NIC, pasid, table.root, { levels });
      const reach = (access: number) =>
        machine.dmaWith(pasid, NIC.sourceId, virtual + 0x123n, access);
      expect(reach(Access.READ)).toBe(NOT_PRESENT);
      table.map(virtual, physical, { level }); // no invalidation for what was not there
      expect(reach(Access.READ)).toBe(physical + 0x123);
      expect(table.entry(virtual, level) & (ACCESSED | DIRTY)).toBe(ACCESSED);
      expect(reach(Access.WRITE)).toBe(physical + 0x123);
      expect(table.entry(virtual, level) & (ACCESSED | DIRTY)).toBe(ACCESSED | DIRTY);
      table.unmap(virtual, level);
      driver.invalidateRange(pasid, Number(virtual), 512 ** (level - 1));
      expect(reach(Access.READ)).toBe(NOT_PRESENT);
    },
  );

  it("two PASIDs of one device map the same address apart, and are invalidated apart", () => {
    const { machine, driver } = start();
    const [one, two] = [0, 1].map((i) => {
      const table = ProcessTable.in(machine, PROCESSES + i * MIB);
      const pasid = driver.allocatePasid();
      table.map(VIRTUAL, BUFFERS + i * 4096);
      driver.bindProcess(NIC, pasid, table.root);
      return { table, pasid };
    }) as [{ table: ProcessTable; pasid: number }, { table: ProcessTable; pasid: number }];
    const reach = () =>
      [one, two].map(({ pasid }) => machine.dmaWith(pasid, NIC.sourceId, VIRTUAL));
    expect(reach()).toEqual([BUFFERS, BUFFERS + 4096]);
    for (const { table } of [one, two]) table.map(VIRTUAL, BUFFERS + 16 * 4096);
    driver.invalidateRange(one.pasid, Number(VIRTUAL), 1);
    expect(reach()).toEqual([BUFFERS + 16 * 4096, BUFFERS + 4096]); // the other one is cached yet
    driver.unbindProcess(NIC, one.pasid);
    expect(reach()).toEqual([ENTRY_ABSENT, BUFFERS + 4096]);
    driver.invalidateRange(two.pasid);
    expect(reach()).toEqual([ENTRY_ABSENT, BUFFERS + 16 * 4096]);
  });

  it("is seen by several devices at once, all of which are told", () => {
    const { machine, driver } = start();
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(VIRTUAL, BUFFERS);
    const pasid = driver.allocatePasid();
    for (const device of [NIC, GPU]) driver.bindProcess(device, pasid, table.root);
    const reach = () => [NIC, GPU].map(({ sourceId }) => machine.dmaWith(pasid, sourceId, VIRTUAL));
    expect(reach()).toEqual([BUFFERS, BUFFERS]);
    table.unmap(VIRTUAL);
    driver.invalidateRange(pasid, Number(VIRTUAL), 1);
    expect(reach()).toEqual([NOT_PRESENT, NOT_PRESENT]);
    driver.unbindProcess(NIC, pasid);
    expect(reach()).toEqual([ENTRY_ABSENT, NOT_PRESENT]);
  });

  it("in the upper half: canonical addresses up to the last page", () => {
    const { machine, driver } = start({ supervisorRequests: true });
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid();
    driver.bindProcess(NIC, pasid, table.root, { supervisor: true });
    const top = 0xffff_ffff_ffff_f000n;
    table.map(top, BUFFERS, { user: false });
    const reach = () => machine.dmaWith(pasid, NIC.sourceId, top, Access.READ | Access.PRIVILEGED);
    expect(reach()).toBe(BUFFERS);
    table.unmap(top);
    driver.invalidateRange(pasid, Number(top), 1);
    expect(reach()).toBe(NOT_PRESENT);
    expect(machine.dmaWith(pasid, NIC.sourceId, 0xffff_0000_0000_0000n)).toBe(
      -FaultReason.FS_NOT_CANONICAL,
    );
  });

  it("supervisor pages, and write protection for supervisors, as the process has them", () => {
    const { machine, driver } = start({ supervisorRequests: true });
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(VIRTUAL, BUFFERS, { user: false, writable: false });
    const [user, kernel] = [driver.allocatePasid(), driver.allocatePasid()];
    driver.bindProcess(NIC, user, table.root);
    driver.bindProcess(NIC, kernel, table.root, { supervisor: true });
    const reach = (pasid: number, access: number) =>
      machine.dmaWith(pasid, NIC.sourceId, VIRTUAL, access);
    const privileged = Access.READ | Access.PRIVILEGED;
    expect(reach(user, Access.READ)).toBe(-FaultReason.FS_USER_DENIED);
    expect(reach(user, privileged)).toBe(-FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED);
    expect(reach(kernel, privileged)).toBe(BUFFERS);
    expect(reach(kernel, Access.WRITE | Access.PRIVILEGED)).toBe(-FaultReason.SM_WRITE_DENIED);
  });

  it("takes the kernel's own domain for requests without PASID", () => {
    const { machine, driver } = start();
    const iova = driver.domainOf(NIC)!.map(BUFFERS, 4096);
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid();
    driver.bindProcess(NIC, pasid, table.root);
    driver.unbindProcess(NIC, pasid);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dmaWith(0, NIC.sourceId, BigInt(iova))).toBe(-FaultReason.SM_PASID_IS_RID_PASID);
  });
});

describe("what a bound process costs", () => {
  it("binding: no invalidation. A range: one descriptor, whatever its size", () => {
    const { machine, driver } = start();
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid(0x21);
    const before = machine.tail;
    driver.bindProcess(NIC, pasid, table.root);
    expect(machine.tail).toBe(before);
    driver.invalidateRange(pasid, 0x20_0000, 512);
    driver.invalidateRange(pasid, 0x1000, 2); // not aligned: the block around it
    driver.invalidateRange(pasid, 0x1000, 0);
    driver.invalidateRange(pasid);
    driver.invalidateRange(99, 0, 1); // bound nowhere
    expect(machine.descriptors(before)).toEqual([
      "2100010036 200009",
      "2100010036 2",
      "2100010026 0",
    ]);
  });

  it("unbinding: PASID-cache, then IOTLB of the PASID", () => {
    const { machine, driver } = start();
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid(0x21);
    driver.bindProcess(NIC, pasid, table.root);
    const before = machine.tail;
    driver.unbindProcess(NIC, pasid);
    expect(machine.descriptors(before)).toEqual(["2100010017 0", "2100010026 0"]);
  });
});

describe("a process that ends before its devices are done with it", () => {
  it("is reached no more, and late requests leave no faults", () => {
    const { machine, driver } = start();
    const table = ProcessTable.in(machine, PROCESSES);
    table.map(VIRTUAL, BUFFERS);
    const pasid = driver.allocatePasid();
    driver.bindProcess(NIC, pasid, table.root);
    expect(machine.dmaWith(pasid, NIC.sourceId, VIRTUAL)).toBe(BUFFERS);
    driver.endProcess(pasid);
    driver.endProcess(pasid);
    expect(machine.dmaWith(pasid, NIC.sourceId, VIRTUAL)).toBe(ENTRY_ABSENT);
    expect(driver.serviceFaults().faults).toEqual([]);
    expect(
      thrown(() => {
        driver.bindProcess(GPU, pasid, table.root);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_PASID");
    driver.invalidateRange(pasid); // of no use any more, and harmless
    // silent even when nothing else of the device is bound
    driver.detach(NIC);
    expect(machine.dmaWith(pasid, NIC.sourceId, VIRTUAL)).toBe(ENTRY_ABSENT);
    expect(driver.serviceFaults().faults).toEqual([]);
    driver.unbindProcess(NIC, pasid);
    machine.dmaWith(pasid, NIC.sourceId, VIRTUAL);
    expect(driver.serviceFaults().faults).toMatchObject([
      { pasid, name: "SM_CONTEXT_NOT_PRESENT" },
    ]);
  });
});

describe("a process nested on a second-stage domain", () => {
  /** Memory of the process and its tables, as the domain shows them. */
  function nest({ machine, driver }: Bench) {
    const domain = driver.createDomain({ stage: "second" });
    const tables = domain.map(PROCESSES, MIB);
    const data = domain.map(BUFFERS, MIB, Access.READ);
    const offset = PROCESSES - tables;
    const access = {
      read: (address: number) => machine.memory.read64(address + offset),
      write: (address: number, value: bigint) => {
        machine.memory.write64(address + offset, value);
      },
    };
    const table = new ProcessTable(access, tables);
    table.map(VIRTUAL, data + 0x3000);
    const pasid = driver.allocatePasid();
    driver.bindProcess(NIC, pasid, table.root, { domain });
    const reach = (kind: number = Access.READ) =>
      machine.dmaWith(pasid, NIC.sourceId, VIRTUAL + 5n, kind);
    return { domain, table, pasid, data, reach };
  }

  it("is translated twice, with the rights of both", () => {
    const { reach } = nest(start());
    expect(reach()).toBe(BUFFERS + 0x3005);
    expect(reach(Access.WRITE)).toBe(-FaultReason.SM_WRITE_DENIED);
  });

  it("forgets when the process changes, and when the domain does", () => {
    const bench = start();
    const { table, domain, pasid, data, reach } = nest(bench);
    expect(reach()).toBe(BUFFERS + 0x3005);
    table.map(VIRTUAL, data + 0x5000);
    bench.driver.invalidateRange(pasid, Number(VIRTUAL), 1);
    expect(reach()).toBe(BUFFERS + 0x5005);
    domain.unmap(data);
    expect(reach()).toBe(-FaultReason.SM_SS_NO_PERMISSION);
  });

  it("keeps its domain in use, and leaves nothing behind when unbound", () => {
    const { machine, driver } = start();
    const { domain, pasid, reach } = nest({ machine, driver });
    const release = () => {
      domain.release();
    };
    expect(reach()).toBe(BUFFERS + 0x3005);
    expect(thrown(release).code).toBe("ERR_VIOMMU_DRIVER_STATE");
    const before = machine.tail;
    driver.unbindProcess(NIC, pasid);
    // PASID-cache of the domain's id, then the IOTLB of the whole domain
    expect(machine.descriptors(before)).toEqual(["100040017 0", "400e2 0"]);
    expect(reach()).toBe(ENTRY_ABSENT);
    release();
  });

  it("needs a second-stage domain, and a root inside of it", () => {
    const { driver } = start();
    const pasid = driver.allocatePasid();
    const bind = (domain: Domain, root = 0x1000) =>
      thrown(() => {
        driver.bindProcess(NIC, pasid, root, { domain });
      }).code;
    expect(bind(driver.createDomain({ stage: "first" }))).toBe("ERR_VIOMMU_DRIVER_DOMAIN");
    const domain = driver.createDomain({ stage: "second" });
    expect(bind(domain, 2 ** 48)).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(bind(domain)).toBe("");
  });
});

describe("PASIDs and processes that cannot be", () => {
  const code = (action: () => unknown) => thrown(action).code;

  it("PASIDs are given out once, and given back when nothing uses them", () => {
    const { driver } = start();
    expect([driver.allocatePasid(), driver.allocatePasid(7), driver.allocatePasid()]).toEqual([
      1, 7, 2,
    ]);
    for (const wanted of [0, 7, 1.5, -1, 2 ** 20]) {
      expect(code(() => driver.allocatePasid(wanted))).toBe("ERR_VIOMMU_DRIVER_PASID");
    }
    driver.bindProcess(NIC, 7, 0x1000);
    const free = () => {
      driver.freePasid(7);
    };
    expect(code(free)).toBe("ERR_VIOMMU_DRIVER_STATE");
    driver.unbindProcess(NIC, 7);
    free();
    expect(code(free)).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(driver.allocatePasid(7)).toBe(7);
  });

  it("one PASID is one process, bound once to a device", () => {
    const { driver } = start();
    const pasid = driver.allocatePasid();
    const bind = (device = NIC, root = 0x1000, options = {}) =>
      code(() => {
        driver.bindProcess(device, pasid, root, options);
      });
    const unbind = (device = NIC) =>
      code(() => {
        driver.unbindProcess(device, pasid);
      });
    expect(unbind()).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(bind()).toBe("");
    expect(bind()).toBe("ERR_VIOMMU_DRIVER_STATE");
    expect(bind(GPU, 0x2000)).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(bind(GPU, 0x1000, { domain: driver.createDomain({ stage: "second" }) })).toBe(
      "ERR_VIOMMU_DRIVER_PASID",
    );
    expect(
      code(() => {
        driver.detach(NIC, pasid);
      }),
    ).toBe("ERR_VIOMMU_DRIVER_STATE");
    expect(code(() => driver.attach(NIC, { pasid }))).toBe("ERR_VIOMMU_DRIVER_STATE");
    expect(unbind(GPU)).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(unbind()).toBe("");
    expect(unbind()).toBe("ERR_VIOMMU_DRIVER_PASID");
    expect(bind(NIC, 0x2000)).toBe(""); // another process now
    for (const root of [0x1001, -4096, NaN]) {
      expect(
        code(() => {
          driver.bindProcess(GPU, driver.allocatePasid(), root);
        }),
      ).toBe("ERR_VIOMMU_DRIVER_PASID");
    }
  });

  it("a device needs to have PASIDs, and enough bits of them", () => {
    const { driver } = start({ pasidBits: 16 });
    const bind = (device: { sourceId: number }, pasid: number) =>
      thrown(() => {
        driver.bindProcess(device, pasid, 0x1000);
      });
    const pasid = driver.allocatePasid(0x1_0000);
    expect(bind(NIC, pasid)).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_CAPABILITY",
      message: expect.stringContaining("16 bits") as string,
    });
    expect(bind({ sourceId: 0x99 }, driver.allocatePasid()).code).toBe(
      "ERR_VIOMMU_DRIVER_CAPABILITY",
    );
    expect(bind(NIC, 5).code).toBe("ERR_VIOMMU_DRIVER_PASID");
  });

  it.each<[string, ProfileOptions, object]>([
    ["ECAP.FSTS", { firstStage: false }, {}],
    ["ECAP.SMPWCS", { walkSnoopControl: false }, {}],
    ["CAP.FS5LP", {}, { levels: 5 }],
    ["ECAP.SRS", {}, { supervisor: true }],
  ])("a unit without %s refuses", (capability, profile, options) => {
    const { driver } = start(profile);
    const bind = () => {
      driver.bindProcess(NIC, driver.allocatePasid(), 0x1000, options);
    };
    expect(thrown(bind)).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_CAPABILITY",
      message: expect.stringContaining(capability) as string,
    });
  });

  it("a unit without ECAP.NEST refuses nesting alone", () => {
    const { driver } = start({ nested: false });
    const domain = driver.createDomain({ stage: "second" });
    const pasid = driver.allocatePasid();
    expect(
      thrown(() => {
        driver.bindProcess(NIC, pasid, 0, { domain });
      }).message,
    ).toContain("ECAP.NEST");
    driver.bindProcess(NIC, pasid, 0);
  });
});
