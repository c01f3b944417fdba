import {
  Access,
  AddressType,
  createHookTable,
  DmaRequest,
  hiFromNumber,
  loFromNumber,
} from "@viommu/plugin";
import type { HookTable } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { ProfileOptions } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import type { DeviceFeatures, DriverState, IommuDriver, ProbeOptions } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import {
  BUFFERS,
  GIB,
  Machine,
  MIB,
  PAGES,
  PAGES_OF_SUCCESSOR,
  PROCESSES,
} from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const GPU = { sourceId: 0x0320 };
const NIC = { sourceId: 0x0010 };
const READ_DENIED = -FaultReason.HPT_READ_DENIED;
const WRITE_DENIED = -FaultReason.HPT_WRITE_DENIED;
const VIRTUAL = 0x7f12_3456_7000n;
const FEATURES = { deviceTlb: true, hostPermissions: true, pasidBits: 20 } as const;

interface Options {
  readonly profile?: ProfileOptions;
  readonly probe?: Partial<ProbeOptions>;
  /** Called when a device-TLB is told to forget something. */
  readonly told?: () => void;
  readonly hooks?: HookTable;
}

function start({
  profile = {},
  probe = {},
  told = () => undefined,
  hooks = createHookTable(),
}: Options = {}) {
  const machine = new Machine({
    units: [
      {
        profile: { scalableMode: true, deviceTlb: true, hostPermissionTables: true, ...profile },
        settings: {
          hooks,
          deviceTlb: {
            invalidate: () => {
              told();
              return "done";
            },
          },
        },
      },
    ],
  });
  const driver = machine.start({ mode: "scalable", ...probe });
  driver.setFeatures(GPU, FEATURES);
  return { machine, driver };
}

/** The answer to a translated request: its address, or -reason. */
function translated(
  { unit }: Machine,
  address: number,
  access: number = Access.READ,
  { sourceId } = GPU,
): number {
  const request = new DmaRequest();
  request.sourceId = sourceId;
  request.addressType = AddressType.TRANSLATED;
  request.access = access;
  request.hi = hiFromNumber(address);
  request.lo = loFromNumber(address);
  const result = unit.dma.translate(request);
  return result === 0 ? request.outHi * GIB + request.outLo : -result;
}

/** Descriptors that an action puts into the queue, by type; those of host permissions in full. */
function descriptorsOf(machine: Machine, action: () => unknown): string[] {
  const { tail } = machine;
  action();
  const names: Record<string, string> = { "1": "context", "2": "iotlb", "3": "device-tlb" };
  Object.assign(names, { "6": "pasid-iotlb", "7": "pasid", "8": "device-tlb" });
  return machine.descriptors(tail).map((text) => {
    const type = text.split(" ")[0]!.at(-1)!;
    return type === "a" ? text : names[type]!;
  });
}

/** Where the entries of a device are: its context entry and the entry of RID_PASID. */
function entriesOf(machine: Machine, { sourceId }: typeof GPU) {
  const root = Number(machine.written(0x20).at(-1)! & ~0xfffn);
  const half = root + 8 * (sourceId >> 7);
  const contexts = Number(machine.memory.read64(half) & ~0xfffn);
  const context = contexts + 32 * (sourceId & 127);
  const directory = Number(machine.memory.read64(context) & ~0xfffn);
  return { context, pasids: Number(machine.memory.read64(directory) & ~0xfffn) };
}

describe("the entries of a device with host permissions (VT-d 9.4, 9.6, 6.2.6.2)", () => {
  it("HPTE, no EPTR, and HPTPTR, HPTSZ and HPTDID in the entry of RID_PASID alone", () => {
    const { machine, driver } = start();
    driver.attach(GPU);
    const pasid = driver.allocatePasid();
    driver.bindProcess(GPU, pasid, ProcessTable.in(machine, PROCESSES).root);
    const { context, pasids } = entriesOf(machine, GPU);
    const [low, high] = machine.qwords(context, 2);
    expect([low! & 0x1ffn, high]).toEqual([0x2dn, 0n]); // P, DTE, PASIDE, HPTE
    const [hpt, id] = machine.qwords(pasids + 32, 2);
    expect([hpt! & 0xfffn, id]).toEqual([0n, 0n]);
    expect(machine.qwords(pasids + 64 + 32, 2)).toEqual([0n, 0n]);
    // a second device has a table and an id of its own
    driver.setFeatures(NIC, FEATURES);
    driver.attach(NIC);
    const [other, otherId] = machine.qwords(entriesOf(machine, NIC).pasids + 32, 2);
    expect([other === hpt, otherId]).toEqual([false, 1n]);
  });

  it.each([50, 52])("hosts of %i bits have a larger table", (hostAddressWidth) => {
    const machine = new Machine({
      units: [
        {
          profile: {
            scalableMode: true,
            deviceTlb: true,
            hostPermissionTables: true,
            hostAddressWidth,
          },
        },
      ],
      dmar: { hostAddressWidth },
    });
    const driver = machine.start({ mode: "scalable" });
    driver.setFeatures(GPU, FEATURES);
    const domain = driver.attach(GPU);
    const highest = 2 ** hostAddressWidth - 4096;
    domain.map(highest, 4096);
    expect(machine.qwords(entriesOf(machine, GPU).pasids + 32, 1)[0]! & 3n).toBe(
      BigInt(hostAddressWidth - 49),
    );
    expect(translated(machine, highest)).toBe(highest);
    expect(translated(machine, highest - 4096)).toBe(READ_DENIED);
  });

  it("everything is given back when the device is done with", () => {
    const { machine, driver } = start();
    const { pages } = driver.counters;
    driver.attach(GPU).map(BUFFERS, 64 * 4096);
    const used = descriptorsOf(machine, () => {
      driver.detach(GPU);
    });
    // all of the table is forgotten before its pages are free; the counts go down with it
    expect(used.slice(0, 5)).toEqual(["context", "pasid", "pasid-iotlb", "device-tlb", "2a c0"]);
    expect(driver.counters.pages).toBe(pages + 1); // context table
    driver.attach(GPU);
    expect(translated(machine, BUFFERS)).toBe(READ_DENIED);
  });
});

describe("permissions follow the mappings of a domain", () => {
  it("are there before the mapping and gone after it (VT-d 6.5.3.4)", () => {
    const seen: number[] = [];
    const { machine, driver } = start({
      told: () => seen.push(translated(machine, BUFFERS + 4096, Access.WRITE)),
    });
    const domain = driver.attach(GPU);
    let iova = 0;
    expect(
      descriptorsOf(machine, () => {
        iova = domain.map(BUFFERS + 4096, 4096);
      }),
    ).toEqual(["3a d2"]); // all levels got an entry: the gigabyte around it
    expect(translated(machine, BUFFERS + 4096, Access.WRITE)).toBe(BUFFERS + 4096);
    expect(translated(machine, BUFFERS)).toBe(READ_DENIED);
    expect(
      descriptorsOf(machine, () => {
        domain.unmap(iova);
      }),
    ).toEqual(["pasid-iotlb", "device-tlb", "3a 2001000"]);
    // a device that works on until it is told meets no fault
    expect(seen).toEqual([BUFFERS + 4096]);
    expect(translated(machine, BUFFERS + 4096, Access.WRITE)).toBe(WRITE_DENIED);
  });

  it("when the permission is told to the unit, nothing leads there yet", () => {
    const seen: number[] = [];
    const hooks = createHookTable();
    const { machine, driver } = start({ hooks });
    const domain = driver.attach(GPU);
    hooks.invalidate = (_unit, { kind }) => {
      if (kind === "host-permission") seen.push(machine.dma(GPU.sourceId, 0xffff_f000));
    };
    expect(domain.map(BUFFERS, 4096)).toBe(0xffff_f000);
    expect(seen).toEqual([-FaultReason.FS_NOT_PRESENT]);
    expect(machine.dma(GPU.sourceId, 0xffff_f000)).toBe(BUFFERS);
  });

  it("have the rights of the mapping: in a first stage what can be written can be read", () => {
    const { machine, driver } = start();
    const rights = (stage: "first" | "second", access: number) => {
      const domain = driver.attach(GPU, { stage });
      domain.map(BUFFERS, 4096, access);
      return [Access.READ, Access.WRITE].map((one) => translated(machine, BUFFERS, one) > 0);
    };
    expect(rights("first", Access.READ)).toEqual([true, false]);
    expect(rights("first", Access.WRITE)).toEqual([true, true]);
    expect(rights("second", Access.READ)).toEqual([true, false]);
    expect(rights("second", Access.WRITE)).toEqual([false, true]);
  });

  it("stay until the last mapping of a page is gone, whoever has it", () => {
    const { machine, driver } = start();
    const own = driver.attach(GPU);
    const pasid = driver.allocatePasid();
    const shared = driver.createDomain();
    shared.map(BUFFERS, 4 * 4096);
    driver.attach(GPU, { domain: shared, pasid });
    const first = own.map(BUFFERS + 4096, 4096);
    const second = own.mapPages([BUFFERS, BUFFERS + 4096, BUFFERS + 8 * 4096], Access.READ);
    const reach = () =>
      [0, 1, 3, 8].map((page) =>
        [Access.READ, Access.WRITE]
          .map((one) => Number(translated(machine, BUFFERS + page * 4096, one) > 0))
          .join(""),
      );
    expect(reach()).toEqual(["11", "11", "11", "10"]);
    driver.detach(GPU, pasid);
    expect(reach()).toEqual(["10", "11", "00", "10"]);
    own.unmap(first);
    expect(reach()).toEqual(["10", "10", "00", "10"]);
    own.unmap(second);
    expect(reach()).toEqual(["00", "00", "00", "00"]);
  });

  it("are those of the new domain when the device moves, and none without one", () => {
    const { machine, driver } = start();
    const [one, two] = [driver.createDomain(), driver.createDomain()];
    one.map(BUFFERS, 4096);
    two.map(BUFFERS + 4096, 4096);
    const reach = () => [0, 4096].map((offset) => translated(machine, BUFFERS + offset) > 0);
    driver.attach(GPU, { domain: one });
    expect(reach()).toEqual([true, false]);
    driver.attach(GPU, { domain: two });
    expect(reach()).toEqual([false, true]);
    driver.detach(GPU);
    expect(reach()).toEqual([false, false]);
  });

  it("lazy unmapping keeps them until the flush", () => {
    const { machine, driver } = start({ probe: { unmapping: "lazy" } });
    const domain = driver.attach(GPU);
    const iova = domain.map(BUFFERS, 4096);
    domain.unmap(iova);
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
    // who comes in between was never permitted what waits, and who leaves is not any more
    driver.setFeatures(NIC, FEATURES);
    driver.attach(NIC, { domain });
    expect(translated(machine, BUFFERS)).toBe(READ_DENIED);
    expect(translated(machine, BUFFERS, Access.READ, NIC)).toBe(READ_DENIED);
    domain.unmap(domain.map(BUFFERS, 4096));
    driver.detach(NIC);
    expect(translated(machine, BUFFERS, Access.READ, NIC)).toBe(
      -FaultReason.SM_CONTEXT_NOT_PRESENT,
    );
    driver.flush();
    expect(translated(machine, BUFFERS)).toBe(READ_DENIED);
  });

  it("are for large pages where mappings are, and many changes are one request", () => {
    const { machine, driver } = start();
    const domain = driver.attach(GPU);
    expect(descriptorsOf(machine, () => domain.map(4 * MIB, 2 * MIB))).toEqual(["3a d2"]);
    const before = driver.counters.pages;
    domain.map(8 * MIB, 8 * MIB);
    expect(driver.counters.pages).toBe(before);
    expect(translated(machine, 15 * MIB)).toBe(15 * MIB);
    const scattered = Array.from({ length: 40 }, (_, i) => BUFFERS + 8192 * i);
    expect(descriptorsOf(machine, () => domain.mapPages(scattered))).toEqual(["2a c0"]);
    expect(translated(machine, scattered[39]!)).toBe(scattered[39]);
  });

  it("a device without them, in the same domain, is not concerned", () => {
    const { machine, driver } = start();
    driver.setFeatures(NIC, { deviceTlb: true });
    const domain = driver.attach(GPU);
    driver.attach(NIC, { domain });
    domain.map(BUFFERS, 4096);
    expect(translated(machine, BUFFERS + 4096, Access.READ, NIC)).toBe(BUFFERS + 4096);
    expect(translated(machine, BUFFERS + 4096)).toBe(READ_DENIED);
  });

  it("pages that no host has, and no memory for tables: nothing is mapped or permitted", () => {
    const { machine, driver } = start({
      probe: { pages: { base: PAGES.base, size: 200 * 4096 }, interruptEntries: 256 },
    });
    const domain = driver.attach(GPU);
    expect(thrown(() => domain.map(2 ** 48 - 4096, 8192)).code).toBe("ERR_VIOMMU_DRIVER_IOVA");
    // each gigabyte wants a table of its own
    const far = Array.from({ length: 200 }, (_, i) => 8 * GIB * i);
    expect(thrown(() => domain.mapPages(far)).code).toBe("ERR_VIOMMU_DRIVER_MEMORY");
    expect(domain.size).toBe(0);
    expect(translated(machine, far[1]!)).toBe(READ_DENIED);
    domain.map(BUFFERS, 4096);
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
  });
});

describe("processes: the kernel says which pages they reach", () => {
  function withProcess(options: Options = {}) {
    const bench = start(options);
    const { machine, driver } = bench;
    const table = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid();
    driver.attach(GPU);
    driver.bindProcess(GPU, pasid, table.root);
    return { ...bench, table, pasid };
  }

  it("a page is permitted before it is mapped, and forbidden when nothing leads there", () => {
    const { machine, driver, table, pasid } = withProcess();
    driver.permitPages(pasid, BUFFERS);
    table.map(VIRTUAL, BUFFERS);
    expect(translated(machine, BUFFERS, Access.WRITE)).toBe(BUFFERS);
    table.unmap(VIRTUAL);
    driver.invalidateRange(pasid, Number(VIRTUAL), 1);
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
    driver.forbidPages(pasid, BUFFERS);
    expect(translated(machine, BUFFERS)).toBe(READ_DENIED);
  });

  it("each entry that leads to a page counts, with its access", () => {
    const { machine, driver, pasid } = withProcess();
    driver.permitPages(pasid, BUFFERS, 4);
    driver.permitPages(pasid, BUFFERS, 1, Access.READ);
    driver.forbidPages(pasid, BUFFERS, 4);
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
    expect(translated(machine, BUFFERS, Access.WRITE)).toBe(WRITE_DENIED);
    expect(translated(machine, BUFFERS + 4096)).toBe(READ_DENIED);
  });

  it("holds for devices that are bound later, and ends with the binding or the process", () => {
    const { machine, driver, table, pasid } = withProcess();
    driver.permitPages(pasid, BUFFERS, 1, Access.READ);
    driver.permitPages(pasid, BUFFERS, 1, Access.READ);
    driver.setFeatures(NIC, FEATURES);
    driver.attach(NIC);
    driver.bindProcess(NIC, pasid, table.root);
    const reach = () => [GPU, NIC].map((one) => translated(machine, BUFFERS, Access.READ, one) > 0);
    expect(reach()).toEqual([true, true]);
    driver.forbidPages(pasid, BUFFERS, 1, Access.READ);
    expect(reach()).toEqual([true, true]);
    driver.unbindProcess(NIC, pasid);
    expect(reach()).toEqual([true, false]);
    driver.endProcess(pasid);
    expect(reach()).toEqual([false, false]);
    driver.forbidPages(pasid, BUFFERS, 1, Access.READ); // whatever it says now
    driver.unbindProcess(GPU, pasid);
  });

  it("a nested process reaches what its domain maps", () => {
    const { machine, driver } = start();
    const domain = driver.attach(GPU, { stage: "second" });
    const pasid = driver.allocatePasid();
    const root = domain.map(PROCESSES, 4096);
    driver.bindProcess(GPU, pasid, root, { domain });
    driver.attach(GPU, { domain });
    expect(translated(machine, PROCESSES)).toBe(PROCESSES);
    domain.map(BUFFERS, 4096);
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
    expect(
      thrown(() => {
        driver.permitPages(pasid, BUFFERS);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_PASID");
  });

  it("what is wrong is refused, and nothing changes", () => {
    const { driver, pasid } = withProcess();
    const codeOf = (...args: Parameters<IommuDriver["permitPages"]>) => [
      thrown(() => {
        driver.permitPages(...args);
      }).code,
      thrown(() => {
        driver.forbidPages(...args);
      }).code,
    ];
    const [iova, none] = ["ERR_VIOMMU_DRIVER_IOVA", "ERR_VIOMMU_DRIVER_PASID"];
    expect(codeOf(pasid, BUFFERS + 1)).toEqual([iova, iova]);
    expect(codeOf(pasid, BUFFERS, 0)).toEqual([iova, iova]);
    expect(codeOf(pasid, BUFFERS, 1, Access.EXECUTE)).toEqual([iova, iova]);
    expect(codeOf(pasid, 2 ** 50)).toEqual([iova, none]);
    expect(codeOf(pasid + 1, BUFFERS)).toEqual([none, none]);
    expect(
      thrown(() => {
        driver.forbidPages(pasid, BUFFERS);
      }).message,
    ).toMatch(/as often as it was/);
  });
});

describe("what has to be there (VT-d 4.2.5, 6.2.6.2)", () => {
  const refusal = (
    features: DeviceFeatures,
    profile: ProfileOptions = {},
    probe: Partial<ProbeOptions> = {},
  ) => {
    const machine = new Machine({
      units: [
        {
          profile: { scalableMode: true, deviceTlb: true, hostPermissionTables: true, ...profile },
        },
      ],
    });
    const driver = machine.start({ mode: "scalable", ...probe });
    return thrown(() => {
      driver.setFeatures(GPU, features);
    });
  };

  it.each([
    ["HPTS", FEATURES, { hostPermissionTables: false }, {}, "ECAP.HPTS"],
    ["a device-TLB", { hostPermissions: true }, {}, {}, "give deviceTlb too"],
    ["scalable mode", { deviceTlb: true, hostPermissions: true }, {}, { mode: "legacy" }, "legacy"],
  ] as const)("%s", (_name, features, profile, probe, text) => {
    const { code, message } = refusal(features, profile, probe);
    expect(code).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
    expect(message).toContain(text);
  });

  it("an entry without PASID, before PASIDs and as long as they are in use", () => {
    const { machine, driver } = start();
    const { root } = ProcessTable.in(machine, PROCESSES);
    const pasid = driver.allocatePasid();
    const bind = () => {
      driver.bindProcess(GPU, pasid, root);
    };
    expect(thrown(bind).code).toBe("ERR_VIOMMU_DRIVER_STATE");
    driver.attach(GPU);
    bind();
    expect(
      thrown(() => {
        driver.detach(GPU);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_STATE");
    expect(thrown(() => driver.attach(GPU, { domain: driver.createDomain() })).code).toBe(
      "ERR_VIOMMU_DRIVER_STATE",
    );
    driver.unbindProcess(GPU, pasid);
    driver.detach(GPU);
  });

  it("a domain: a device that passes through reaches everything", () => {
    const { driver } = start();
    expect(
      thrown(() => {
        driver.passThrough(GPU);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_STATE");
  });

  it("an id of its own: 2^(4+2*ND) of them", () => {
    const { driver } = start({ profile: { domainIdBits: 4 } });
    const devices = Array.from({ length: 17 }, (_, i) => ({ sourceId: 0x0400 + i }));
    const domain = driver.createDomain();
    for (const device of devices) driver.setFeatures(device, FEATURES);
    for (const device of devices.slice(0, 16)) driver.attach(device, { domain });
    const { code, message } = thrown(() => driver.attach(devices[16]!, { domain }));
    expect([code, message]).toEqual([
      "ERR_VIOMMU_DRIVER_DOMAIN",
      "dmar0: all 16 domain-ids of host permission tables are in use; give hostPermissions to less devices",
    ]);
    driver.detach(devices[3]!);
    driver.attach(devices[16]!, { domain });
  });
});

describe("beginnings and ends", () => {
  it("a driver that moves with its machine knows what is permitted, and how often", () => {
    const run = () => {
      const bench = start();
      const domain = bench.driver.attach(GPU);
      const pasid = bench.driver.allocatePasid();
      bench.driver.bindProcess(GPU, pasid, ProcessTable.in(bench.machine, PROCESSES).root);
      return { ...bench, domain, pasid };
    };
    const [from, to] = [run(), run()];
    const iova = from.domain.map(BUFFERS, 8192);
    from.driver.permitPages(from.pasid, BUFFERS + 4096, 2);
    to.driver.permitPages(to.pasid, 0); // counts for nothing
    const state = JSON.parse(JSON.stringify(from.driver.save())) as DriverState;
    expect(to.driver.fits(state)).toBe(true);
    const bytes = new Uint8Array(PAGES.size);
    from.machine.memory.readBytes(0, PAGES.base, bytes);
    to.machine.memory.writeBytes(0, PAGES.base, bytes);
    to.machine.unit.restore(from.machine.unit.save());
    to.driver.restore(state);
    expect(to.driver.save()).toEqual(from.driver.save());
    const reach = () => [0, 1, 2].map((page) => translated(to.machine, BUFFERS + 4096 * page) > 0);
    expect(reach()).toEqual([true, true, true]);
    to.domain.unmap(iova);
    expect(reach()).toEqual([false, true, true]);
    to.driver.forbidPages(to.pasid, BUFFERS + 4096, 2);
    expect(reach()).toEqual([false, false, false]);
  });

  it("one that waits for a flush is saved, too", () => {
    const probe = { unmapping: "lazy" } as const;
    const [from, to] = [start({ probe }), start({ probe })];
    const domains = [from, to].map(({ driver }) => driver.attach(GPU));
    domains[0]!.unmap(domains[0]!.map(BUFFERS, 4096));
    const state = JSON.parse(JSON.stringify(from.driver.save())) as DriverState;
    const bytes = new Uint8Array(PAGES.size);
    from.machine.memory.readBytes(0, PAGES.base, bytes);
    to.machine.memory.writeBytes(0, PAGES.base, bytes);
    to.machine.unit.restore(from.machine.unit.save());
    to.driver.restore(state);
    expect(translated(to.machine, BUFFERS)).toBe(BUFFERS);
    to.driver.flush();
    expect(translated(to.machine, BUFFERS)).toBe(READ_DENIED);
  });

  it("a unit that forgets nothing by SRTP is told to (VT-d 6.6)", () => {
    const { machine } = start({ profile: { enhancedSetRootPointer: false } });
    expect(machine.descriptors(0)).toEqual(["11 0", "37 0", "d2 0", "1a 0"]);
  });

  it("a predecessor's ids stay its own, and its entries are forgotten when they go", () => {
    const { machine, driver: before } = start();
    before.attach(GPU).map(BUFFERS, 4096);
    const driver = machine.probe({
      mode: "scalable",
      pages: PAGES_OF_SUCCESSOR,
      predecessor: "take-over",
    });
    driver.start();
    expect(translated(machine, BUFFERS)).toBe(BUFFERS);
    driver.setFeatures(NIC, FEATURES);
    driver.attach(NIC).map(BUFFERS + 4096, 4096);
    expect(machine.qwords(entriesOf(machine, NIC).pasids + 32, 2)[1]).toBe(1n);
    expect(translated(machine, BUFFERS + 4096)).toBe(READ_DENIED);
    expect(
      descriptorsOf(machine, () => {
        driver.detach(GPU);
      }).at(-1),
    ).toBe("1a 0");
    expect(translated(machine, BUFFERS)).toBe(-FaultReason.SM_CONTEXT_NOT_PRESENT);
  });
});
