import type { AnyCapability, Capability, Collection } from "./capability.ts";
import type { HookTable, Hooks } from "./hooks.ts";

/** What a plugin sees of the machine while it is set up. */
export interface Host {
  /** The service under a key of the plugin's `needs`. */
  use<T>(key: Capability<T>): T;
  use<T>(key: Collection<T>): readonly T[];
  /** Offers a service under a key of the plugin's `provides`. */
  provide<T>(key: Capability<T> | Collection<T>, service: T): void;
  /** Observes; several observers of a hook are called in assembly order. */
  on<K extends keyof Hooks>(hook: K, listener: Hooks[K]): void;
  /** The table that emitters call through; its fields are final once the machine is sealed. */
  readonly hooks: HookTable;
}

/** A part of a machine: a plain object, made by a factory function such as `vtd(options)`. */
export interface Plugin {
  readonly name: string;
  /** Keys it uses; they decide the order of the set-up. A collection may be empty. */
  readonly needs?: readonly AnyCapability[];
  /** Keys it provides, each in its `setup`. */
  readonly provides?: readonly AnyCapability[];
  /** Called once, synchronously, after the set-up of everything it needs. */
  setup(host: Host): void;
}
