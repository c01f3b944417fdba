import { parseGuest } from "../../apps/guest/src/config/load.ts";
import { Guest } from "../../apps/guest/src/guest.ts";
import type { DrivenDevice } from "../../apps/guest/src/kernel/devices.ts";
import type { Interrupt } from "../../apps/guest/src/kernel/interrupts.ts";
import type { Kernel } from "../../apps/guest/src/kernel/kernel.ts";
import { Random } from "../../apps/guest/src/random.ts";
import { Reg } from "./guest.ts";

/** Bytes of a remapping table entry. */
const IRTE = 16;

/**
 * A whole guest out of a configuration: machine, guest driver, device drivers. Its interrupts go by
 * name, "nic0/1" is queue 1 of nic0. Every byte and every interrupt is checked; see `problems`.
 */
export class VirtualGuest {
  readonly guest: Guest;
  readonly kernel: Kernel;
  readonly #random = new Random(1);

  constructor(yaml: string) {
    this.guest = new Guest(parseGuest("scenario.yaml", yaml));
    this.kernel = this.guest.boot();
  }

  /** What was not as it should be. */
  get problems(): readonly string[] {
    this.guest.interrupts.checkTotals();
    return this.guest.problems.texts;
  }

  device(name: string): DrivenDevice {
    return this.kernel.devices.find(({ device }) => device.config.name === name)!;
  }

  interrupt(name: string): Interrupt {
    return this.guest.interrupts.all.find((interrupt) => interrupt.name === name)!;
  }

  /** Gives a queue work, at the end of which its device interrupts. */
  start(name: string): void {
    const [device, queue] = name.split("/");
    this.device(device!).driver.start(Number(queue), this.#random);
  }

  /** The vCPUs serve what has come. */
  serve(): void {
    this.guest.interrupts.run();
  }

  /** Work for a queue, and its interrupt served. */
  work(name: string): void {
    this.start(name);
    this.serve();
  }

  /** Sends an interrupt to another vCPU from now on. */
  move(name: string, vcpu: number): void {
    this.guest.interrupts.move(this.interrupt(name), vcpu);
  }

  /** Interrupts that each vCPU has taken, of those that have taken any: "vCPU 3: 1". */
  get taken(): string[] {
    return [...this.guest.machine.lapics.lapics.accepted]
      .map((count, vcpu) => ({ count, text: `vCPU ${vcpu}: ${count}` }))
      .filter(({ count }) => count > 0)
      .map(({ text }) => text);
  }

  // Registers and memory, as a debugger inside the guest reads them

  read32(address: number): number {
    const out = new Int32Array(2);
    this.guest.machine.bus.read(address, 4, out);
    return out[0]! >>> 0;
  }

  write32(address: number, value: number): void {
    this.guest.machine.bus.write(address, 4, value | 0, 0);
  }

  /** Address and data of a vector in the MSI-X table of a device. */
  msixEntry(name: string): { address: number; data: number } {
    const at = this.#msixEntryAddress(name);
    return { address: this.read32(at), data: this.read32(at + 8) };
  }

  setMsixEntry(name: string, { address, data }: { address: number; data: number }): void {
    const at = this.#msixEntryAddress(name);
    this.write32(at, address);
    this.write32(at + 4, 0);
    this.write32(at + 8, data);
  }

  /** Low and high half of the redirection entry of a pin; `base` is that of its I/O APIC. */
  redirectionEntry(base: number, pin: number): { low: number; high: number } {
    const read = (index: number): number => {
      this.write32(base, index);
      return this.read32(base + 0x10);
    };
    return { low: read(0x10 + 2 * pin), high: read(0x11 + 2 * pin) };
  }

  /** Guest-physical address of an entry in the interrupt remapping table of the unit at `base`. */
  irteAddress(base: number, index: number): number {
    const low = this.read32(base + Reg.IRTA);
    return this.read32(base + Reg.IRTA + 4) * 2 ** 32 + low - (low % 4096) + index * IRTE;
  }

  /** The four words of that entry. */
  irte(base: number, index: number): number[] {
    const out = new Int32Array(IRTE / 4);
    const address = this.irteAddress(base, index);
    const { memory } = this.guest.machine;
    memory.readWords(Math.floor(address / 2 ** 30), address % 2 ** 30, out.length, out);
    return [...out].map((word) => word >>> 0);
  }

  #msixEntryAddress(name: string): number {
    const [device, queue] = name.split("/");
    return this.device(device!).device.interrupts.msix!.table.base + Number(queue) * 16;
  }
}

/** The index that a remappable message without subhandle names (VT-d 5.1.2.1). */
export function handleOf({ address }: { readonly address: number }): number {
  return ((address >>> 5) & 0x7fff) | ((address & 4) << 13);
}
