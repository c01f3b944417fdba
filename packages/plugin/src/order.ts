import type { AnyCapability } from "./capability.ts";
import { ViommuError } from "./errors.ts";
import type { Plugin } from "./plugin.ts";

/** The plugins, each after the providers of what it needs; otherwise in the order given. */
export function setupOrder(plugins: readonly Plugin[]): Plugin[] {
  const providers = findProviders(plugins);
  const ordered: Plugin[] = [];
  const done = new Set<Plugin>();
  const path: { plugin: Plugin; key: AnyCapability | null }[] = [];

  const visit = (plugin: Plugin, key: AnyCapability | null): void => {
    if (done.has(plugin)) return;
    const start = path.findIndex((step) => step.plugin === plugin);
    path.push({ plugin, key });
    if (start >= 0) throw circular(path.slice(start));
    for (const need of plugin.needs ?? []) {
      const found = providers.get(need.id) ?? [];
      if (found.length === 0 && !need.many) {
        throw new ViommuError(
          "ERR_VIOMMU_MISSING",
          `plugin "${plugin.name}" needs "${need.id}", which no plugin provides; add one that does`,
        );
      }
      for (const provider of found) visit(provider, need);
    }
    path.pop();
    done.add(plugin);
    ordered.push(plugin);
  };
  for (const plugin of plugins) visit(plugin, null);
  return ordered;
}

function findProviders(plugins: readonly Plugin[]): Map<string, Plugin[]> {
  const names = new Set<string>();
  const providers = new Map<string, Plugin[]>();
  for (const plugin of plugins) {
    if (names.has(plugin.name)) {
      throw new ViommuError(
        "ERR_VIOMMU_PLUGIN_NAME",
        `two plugins are named "${plugin.name}"; give each instance a name of its own`,
      );
    }
    names.add(plugin.name);
    for (const key of plugin.provides ?? []) {
      const list = providers.get(key.id) ?? [];
      const first = list[0];
      if (first !== undefined && !key.many) {
        throw new ViommuError(
          "ERR_VIOMMU_DOUBLED",
          `plugins "${first.name}" and "${plugin.name}" both provide "${key.id}"; keep one of them`,
        );
      }
      providers.set(key.id, [...list, plugin]);
    }
  }
  return providers;
}

function circular(path: readonly { plugin: Plugin; key: AnyCapability | null }[]): ViommuError {
  const steps = path
    .slice(1)
    .map((step, i) => `"${path[i]!.plugin.name}" needs "${step.key!.id}" of "${step.plugin.name}"`);
  return new ViommuError(
    "ERR_VIOMMU_CIRCULAR",
    `plugins need each other in a circle: ${steps.join(", ")}; break it by splitting one of them`,
  );
}
