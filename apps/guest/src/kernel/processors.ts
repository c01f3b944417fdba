import { ApicMode, LapicRegisters } from "@viommu/irq-hooks";
import type { LapicBus } from "@viommu/irq-hooks";

const MSR_SVR = 0x80f;
const MSR_EOI = 0x80b;
const PAGE_SVR = 0xf0;
const PAGE_EOI = 0xb0;
/** Software-enabled, spurious vector FFh; EOIs are told to no I/O APIC: the kernel does that. */
const SVR = 0x11ff;

/** The processors of the guest: they take interrupts, call the kernel, and end them. */
export class Processors {
  readonly #lapics: LapicBus;
  readonly #registers: LapicRegisters;
  /** vCPUs with something to take, in the order in which it came. */
  readonly #waiting: number[] = [];
  readonly #isWaiting: Uint8Array;

  constructor(lapics: LapicBus) {
    this.#lapics = lapics;
    this.#registers = new LapicRegisters(lapics);
    this.#isWaiting = new Uint8Array(lapics.vcpus);
  }

  /** Switches all local APICs on. */
  start(): void {
    for (let vcpu = 0; vcpu < this.#lapics.vcpus; vcpu += 1) {
      if (this.#isX2apic(vcpu)) this.#registers.writeMsr(vcpu, MSR_SVR, SVR, 0);
      else this.#registers.writeMmio(vcpu, PAGE_SVR, SVR);
    }
  }

  /** Something has come for a vCPU. */
  wake(vcpu: number): void {
    if (this.#isWaiting[vcpu] === 1) return;
    this.#isWaiting[vcpu] = 1;
    this.#waiting.push(vcpu);
  }

  /** Lets the next vCPU take all that has come for it. False when nothing has come for any. */
  step(serve: (vcpu: number, vector: number) => void): boolean {
    const vcpu = this.#waiting.shift();
    if (vcpu === undefined) return false;
    this.#isWaiting[vcpu] = 0;
    for (let vector = this.#lapics.accept(vcpu); vector >= 0; vector = this.#lapics.accept(vcpu)) {
      serve(vcpu, vector);
      this.#endOfInterrupt(vcpu);
    }
    return true;
  }

  /** The vCPUs with something to take. */
  save(): number[] {
    return [...this.#waiting];
  }

  restore(waiting: readonly number[]): void {
    this.#waiting.splice(0, Infinity, ...waiting);
    this.#isWaiting.fill(0);
    for (const vcpu of waiting) this.#isWaiting[vcpu] = 1;
  }

  #endOfInterrupt(vcpu: number): void {
    if (this.#isX2apic(vcpu)) this.#registers.writeMsr(vcpu, MSR_EOI, 0, 0);
    else this.#registers.writeMmio(vcpu, PAGE_EOI, 0);
  }

  #isX2apic(vcpu: number): boolean {
    return this.#lapics.lapics.mode(vcpu) === ApicMode.X2APIC;
  }
}
