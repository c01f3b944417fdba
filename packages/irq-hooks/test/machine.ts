import { ApicMode, LapicBus, LapicRegisters } from "../src/index.ts";
import type { LapicBusOptions } from "../src/index.ts";

interface Delivery {
  vcpu: number;
  vector: number;
  mode: number;
}

export interface Machine {
  bus: LapicBus;
  registers: LapicRegisters;
  /** What the observer saw, in order. */
  seen: Delivery[];
}

/** Local APICs that software has enabled: SVR 1FFh. */
export function enabledMachine(options: LapicBusOptions): Machine {
  const seen: Delivery[] = [];
  const bus = new LapicBus({
    ...options,
    onInterrupt: (vcpu, vector, mode) => seen.push({ vcpu, vector, mode }),
  });
  const registers = new LapicRegisters(bus);
  for (let vcpu = 0; vcpu < options.vcpus; vcpu += 1) {
    if (bus.lapics.mode(vcpu) === ApicMode.X2APIC) registers.writeMsr(vcpu, 0x80f, 0x1ff, 0);
    else registers.writeMmio(vcpu, 0xf0, 0x1ff);
  }
  return { bus, registers, seen };
}

export function x2apicMachine(options: LapicBusOptions): Machine {
  return enabledMachine({ ...options, initialMode: ApicMode.X2APIC });
}

/** The vCPUs that took something since the last call. */
export function takers(machine: Machine): number[] {
  return machine.seen.splice(0).map((delivery) => delivery.vcpu);
}

export function readMsr(registers: LapicRegisters, vcpu: number, msr: number): bigint | "#GP" {
  const out = new Int32Array(2);
  if (!registers.readMsr(vcpu, msr, out)) return "#GP";
  return (BigInt(out[1]! >>> 0) << 32n) | BigInt(out[0]! >>> 0);
}
