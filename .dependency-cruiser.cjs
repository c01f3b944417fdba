/** What each package may import (docs: ARCHITECTURE.md, package table). Everything else is refused. */
const MAY_IMPORT = {
  plugin: [],
  memory: ["plugin"],
  "vtd-spec": [],
  translation: ["plugin", "memory", "vtd-spec"],
  "interrupt-remapping": ["plugin", "memory", "vtd-spec"],
  vtd: ["plugin", "memory", "vtd-spec", "translation", "interrupt-remapping"],
  "irq-hooks": ["plugin", "memory"],
  piommu: ["plugin", "memory", "vtd-spec", "translation", "interrupt-remapping"],
  acpi: ["plugin", "vtd-spec"],
  xen: ["plugin", "vtd", "irq-hooks", "piommu", "acpi"],
  "guest-driver": ["plugin", "memory", "vtd-spec", "acpi"],
  conformance: ["plugin", "memory", "vtd-spec"],
  trace: ["plugin", "memory", "vtd-spec", "vtd"],
};

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "packages-never-import-apps",
      severity: "error",
      from: { path: "^packages/" },
      to: { path: "^apps/" },
    },
    {
      name: "listed-packages-only",
      comment: "a new package gets a row in MAY_IMPORT first",
      severity: "error",
      from: { path: `^packages/(?!(${Object.keys(MAY_IMPORT).join("|")})/)` },
      to: { path: "^packages/[^/]+/src" },
    },
    ...Object.entries(MAY_IMPORT).map(([name, allowed]) => ({
      name: `${name}-imports`,
      severity: "error",
      from: { path: `^packages/${name}/src` },
      to: { path: `^packages/(?!(${[name, ...allowed].join("|")})/)` },
    })),
    {
      name: "no-node-builtins-in-core",
      comment: "core packages run in browsers too",
      severity: "error",
      from: { path: "^packages/[^/]+/src" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "no-runtime-dependencies-in-core",
      severity: "error",
      from: { path: "^packages/[^/]+/src" },
      to: {
        dependencyTypes: [
          "npm",
          "npm-dev",
          "npm-optional",
          "npm-peer",
          "npm-no-pkg",
          "npm-unknown",
        ],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@viommu/source", "import", "types", "default"],
    },
  },
};
