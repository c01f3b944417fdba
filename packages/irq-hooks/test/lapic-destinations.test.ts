import { describe, expect, it } from "vitest";
import { ApicMode } from "../src/index.ts";
import { enabledMachine, takers, x2apicMachine } from "./machine.ts";

describe("physical destinations (SDM vol. 3, 11.6.2.1)", () => {
  it("takes destination 7:0 from address 19:12", () => {
    const machine = enabledMachine({ vcpus: 8 });
    machine.bus.deliver(0, 0xfee0_5000, 0x31);
    expect(machine.seen).toEqual([{ vcpu: 5, vector: 0x31, mode: 0 }]);
    expect(machine.bus.pending(5)).toBe(0x31);
  });

  it("takes destination 31:8 from upper 31:8, as an IRTE with EIM gives it", () => {
    const machine = x2apicMachine({ vcpus: 288 });
    machine.bus.deliver(0x100, 0xfee1_f000, 0x41);
    expect(takers(machine)).toEqual([287]);
  });

  it("finds any 32-bit APIC id", () => {
    const machine = x2apicMachine({ vcpus: 3, apicIds: [0, 0xffff_fffe, 0x8000_0000] });
    machine.bus.deliver(0xffff_ff00 | 0, 0xfeef_e000, 0x31);
    machine.bus.deliver(0x8000_0000, 0xfee0_0000, 0x31);
    expect(takers(machine)).toEqual([1, 2]);
  });

  it("reaches each of 65,537 vCPUs alone", () => {
    const machine = x2apicMachine({ vcpus: 65_537 });
    for (const id of [0, 255, 256, 32_768, 65_535, 65_536]) {
      machine.bus.deliver(id & 0xffff_ff00, 0xfee0_0000 | ((id & 0xff) << 12), 0x31);
      expect(takers(machine)).toEqual([id]);
    }
  });

  it("delivers FFh to all vCPUs in xAPIC mode", () => {
    const machine = enabledMachine({ vcpus: 4 });
    machine.bus.deliver(0, 0xfeef_f000, 0x31);
    expect(takers(machine)).toEqual([0, 1, 2, 3]);
  });

  it("takes FFh as the id 255 in x2APIC mode", () => {
    const machine = x2apicMachine({ vcpus: 300 });
    machine.bus.deliver(0, 0xfeef_f000, 0x31);
    expect(takers(machine)).toEqual([255]);
  });

  it("delivers FFh in a mixed machine to xAPIC mode and to the id 255", () => {
    const machine = enabledMachine({ vcpus: 3, apicIds: [0, 255, 7] });
    machine.bus.setMode(1, ApicMode.X2APIC);
    machine.bus.deliver(0, 0xfeef_f000, 0x31);
    expect(takers(machine)).toEqual([0, 2, 1]);
  });

  it("delivers FFh once to the id 255 in xAPIC mode", () => {
    const machine = enabledMachine({ vcpus: 3, apicIds: [0, 255, 7] });
    machine.bus.setMode(2, ApicMode.X2APIC);
    machine.bus.deliver(0, 0xfeef_f000, 0x31);
    expect(takers(machine)).toEqual([0, 1]);
  });

  it("delivers FFFF_FFFFh to all, in either mode", () => {
    const machine = enabledMachine({ vcpus: 3 });
    machine.bus.setMode(1, ApicMode.X2APIC);
    machine.bus.deliver(0xffff_ff00, 0xfeef_f000, 0x31);
    expect(takers(machine)).toEqual([0, 1, 2]);
  });

  it("does not mix up a large id with its low byte in xAPIC mode", () => {
    const machine = enabledMachine({ vcpus: 2, apicIds: [0x2c, 0x12c] });
    machine.bus.deliver(0, 0xfee2_c000, 0x31);
    machine.bus.deliver(0x100, 0xfee2_c000, 0x31);
    expect(takers(machine)).toEqual([0, 1]);
  });
});

describe("logical destinations in xAPIC mode (SDM vol. 3, 11.6.2.2)", () => {
  it("matches any common bit in the flat model, DFR FFFF_FFFFh", () => {
    const machine = enabledMachine({ vcpus: 8 });
    for (let vcpu = 0; vcpu < 8; vcpu += 1) {
      machine.registers.writeMmio(vcpu, 0xd0, (1 << vcpu) << 24);
    }
    machine.bus.deliver(0, 0xfee8_1004, 0x31);
    expect(takers(machine)).toEqual([0, 7]);
    machine.bus.deliver(0, 0xfeef_f004, 0x31);
    expect(takers(machine)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("matches cluster and member in the cluster model, DFR 0FFF_FFFFh", () => {
    const machine = enabledMachine({ vcpus: 8 });
    for (let vcpu = 0; vcpu < 8; vcpu += 1) {
      machine.registers.writeMmio(vcpu, 0xe0, 0);
      machine.registers.writeMmio(vcpu, 0xd0, (((vcpu >> 2) << 4) | (1 << (vcpu & 3))) << 24);
    }
    machine.bus.deliver(0, 0xfee1_a004, 0x31); // cluster 1, members 1 and 3
    expect(takers(machine)).toEqual([5, 7]);
    machine.bus.deliver(0, 0xfeef_f004, 0x31);
    expect(takers(machine)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("matches nobody without a logical id, nor with more than 8 bits", () => {
    const machine = enabledMachine({ vcpus: 2 });
    machine.bus.deliver(0, 0xfee0_1004, 0x31);
    machine.registers.writeMmio(0, 0xd0, 0x0100_0000);
    machine.bus.deliver(0x100, 0xfee0_1004, 0x31);
    expect(takers(machine)).toEqual([]);
    expect(machine.bus.counters.unclaimed).toBe(2);
  });

  it("forgets a logical id that is taken back", () => {
    const machine = enabledMachine({ vcpus: 3 });
    for (const vcpu of [2, 0, 1]) machine.registers.writeMmio(vcpu, 0xd0, 0x0400_0000);
    machine.registers.writeMmio(1, 0xd0, 0);
    machine.bus.deliver(0, 0xfee0_4004, 0x31);
    expect(takers(machine)).toEqual([0, 2]);
  });
});

describe("logical destinations in x2APIC mode (SDM vol. 3, 11.12.10)", () => {
  it("names a cluster in bits 31:16 and its members in bits 15:0", () => {
    const machine = x2apicMachine({ vcpus: 64 });
    // IRTE destination 10020h: cluster 1, member 5, the APIC id 15h.
    machine.bus.deliver(0x0001_0000, 0xfee2_0004, 0x31);
    expect(takers(machine)).toEqual([0x15]);
    machine.bus.deliver(0x0003_8000, 0xfee0_1004, 0x31);
    expect(takers(machine)).toEqual([0x30, 0x3f]);
  });

  it("skips ids that no vCPU has, and vCPUs in xAPIC mode", () => {
    const machine = enabledMachine({ vcpus: 3, apicIds: [0x10, 0x12, 0x13] });
    machine.bus.setMode(0, ApicMode.X2APIC);
    machine.bus.setMode(1, ApicMode.X2APIC);
    machine.bus.deliver(0x0001_ff00, 0xfeef_f004, 0x31);
    expect(takers(machine)).toEqual([0, 1]);
  });
});

describe("extended destination id", () => {
  it("puts address bits 11:5 above the destination when bit 4 is 0", () => {
    const machine = enabledMachine({
      vcpus: 2,
      apicIds: [0x05, 0x7f05],
      extendedDestinationId: true,
    });
    machine.bus.deliver(0, 0xfee0_5fe0, 0x31);
    expect(takers(machine)).toEqual([1]);
    machine.bus.deliver(0, 0xfee0_5000, 0x31);
    expect(takers(machine)).toEqual([0]);
  });

  it("leaves a message in remappable format alone", () => {
    const machine = enabledMachine({
      vcpus: 2,
      apicIds: [0x05, 0x7f05],
      extendedDestinationId: true,
    });
    machine.bus.deliver(0, 0xfee0_5ff0, 0x31);
    expect(takers(machine)).toEqual([0]);
  });

  it("ignores these bits when it is not chosen", () => {
    const machine = enabledMachine({ vcpus: 2, apicIds: [0x05, 0x7f05] });
    machine.bus.deliver(0, 0xfee0_5fe0, 0x31);
    expect(takers(machine)).toEqual([0]);
  });
});

describe("lowest priority (SDM vol. 3, 11.6.2.4)", () => {
  const flat = () => {
    const machine = enabledMachine({ vcpus: 4 });
    for (let vcpu = 0; vcpu < 4; vcpu += 1) {
      machine.registers.writeMmio(vcpu, 0xd0, (1 << vcpu) << 24);
    }
    return machine;
  };

  it("chooses the vCPU with the lowest processor priority class, of several the first", () => {
    const machine = flat();
    machine.registers.writeMmio(0, 0x80, 0x40);
    machine.registers.writeMmio(1, 0x80, 0x2f);
    machine.registers.writeMmio(2, 0x80, 0x20);
    machine.registers.writeMmio(3, 0x80, 0x30);
    machine.bus.deliver(0, 0xfee0_f004, 0x131);
    expect(takers(machine)).toEqual([1]);
  });

  it("counts an interrupt in service", () => {
    const machine = flat();
    machine.bus.deliver(0, 0xfee0_0000, 0x31);
    machine.bus.accept(0);
    takers(machine);
    machine.bus.deliver(0, 0xfee0_f004, 0x141);
    expect(takers(machine)).toEqual([1]);
  });

  it("passes over vCPUs whose APIC software has disabled", () => {
    const machine = flat();
    machine.registers.writeMmio(0, 0xf0, 0xff);
    machine.bus.deliver(0, 0xfee0_f004, 0x131);
    expect(takers(machine)).toEqual([1]);
  });

  it("redirects a fixed message with the redirection hint in the same way", () => {
    const machine = flat();
    machine.registers.writeMmio(0, 0x80, 0x40);
    machine.bus.deliver(0, 0xfee0_f00c, 0x31);
    expect(takers(machine)).toEqual([1]);
  });

  it("takes hint and physical mode as one destination, as Linux programs its IRTEs", () => {
    const machine = flat();
    machine.bus.deliver(0, 0xfee0_3008, 0x31);
    expect(takers(machine)).toEqual([3]);
  });
});
