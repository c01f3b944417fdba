import { capability, collection } from "../capability.ts";
import type { Capability, Collection } from "../capability.ts";
import type { DmaRemapper } from "./dma.ts";
import type { GuestMemory } from "./guest-memory.ts";
import type { InterruptRemapper, InterruptSink } from "./interrupt.ts";
import type { AcpiTableSource, PendingWork, Snapshottable } from "./machine.ts";
import type { MmioRegion } from "./mmio.ts";
import type { PhysicalIommu } from "./physical-iommu.ts";

/** The memory of the machine. */
export const guestMemory: Capability<GuestMemory> = capability("guest-memory");
/** Where interrupts are delivered. */
export const interruptSink: Capability<InterruptSink> = capability("interrupt-sink");
/** All DMA remappers of the machine, one for each unit. */
export const dmaRemappers: Collection<DmaRemapper> = collection("dma-remappers");
/** All interrupt remappers of the machine. */
export const interruptRemappers: Collection<InterruptRemapper> = collection("interrupt-remappers");
/** All register blocks of the machine. */
export const mmioRegions: Collection<MmioRegion> = collection("mmio-regions");
/** Everything that a bounded guest access may leave over. */
export const pendingWork: Collection<PendingWork> = collection("pending-work");
/** Everything with state of its own. */
export const snapshottables: Collection<Snapshottable> = collection("snapshottables");
/** All ACPI tables of the machine. */
export const acpiTables: Collection<AcpiTableSource> = collection("acpi-tables");
/** All physical IOMMUs of the host. */
export const physicalIommus: Collection<PhysicalIommu> = collection("physical-iommus");
