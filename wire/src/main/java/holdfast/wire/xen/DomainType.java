package holdfast.wire.xen;

/** What kind of guest an image holds. */
public enum DomainType {
    /** x86 paravirtual: page tables and vCPU registers travel as Xen records. */
    X86_PV,
    /** x86 hardware virtual machine: a device model's state travels in the libxl layer. */
    X86_HVM
}
