#include "netpath/classifier/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_link.h>

#include <cerrno>
#include <memory>

#include "base/assert.h"
#include "netpath/classifier/object.h"
#include "netpath/classifier/table.h"
#include "netpath/classifier/zeroed.h"

namespace holdfast::netpath::classifier {

namespace {

/// How long one sign of pressure lasts.
constexpr Duration kPressureHold = Duration::from_ms(500);
/// Somebody waits for memory so long within 100 ms: a sign. docs/classifier.md tells what was seen.
constexpr Duration kPressureStall = Duration::from_ms(3);

struct CloseObject {
    void operator()(bpf_object* object) const noexcept { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

std::unexpected<LoadFailure> failed(LoadStep step, int error) noexcept {
    return std::unexpected{LoadFailure{.step = step, .error = Errno{error}}};
}

UniqueFd copy_of(int fd) noexcept {
    return UniqueFd{fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
}

UniqueFd copy_of(const bpf_map* map) noexcept {
    return map == nullptr ? UniqueFd{} : copy_of(bpf_map__fd(map));
}

UniqueFd copy_of(const bpf_program* program) noexcept {
    return program == nullptr ? UniqueFd{} : copy_of(bpf_program__fd(program));
}

/// Zero, or an errno.
int attach(Classifier& made, unsigned interface, XdpMode mode) noexcept {
    auto options = zeroed<bpf_link_create_opts>();
    options.sz = sizeof options;
    options.flags = mode == XdpMode::Native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    const int fd =
        bpf_link_create(made.program.get(), static_cast<int>(interface), BPF_XDP, &options);
    if (fd < 0) return -fd;
    made.link = UniqueFd{fd};
    return 0;
}

int attach(Classifier& made, unsigned interface, XdpWish wish) noexcept {
    if (wish == XdpWish::Generic) return attach(made, interface, XdpMode::Generic);
    const int error = attach(made, interface, XdpMode::Native);
    if (error == 0 || error == EBUSY || wish == XdpWish::Native) return error;
    return attach(made, interface, XdpMode::Generic);
}

/// What the interface says about the program it runs.
std::expected<XdpMode, LoadFailure> read_back(const Classifier& made, unsigned interface) noexcept {
    auto info = zeroed<bpf_prog_info>();
    __u32 bytes = sizeof info;
    if (const int error = bpf_obj_get_info_by_fd(made.program.get(), &info, &bytes); error != 0)
        return failed(LoadStep::ReadBack, -error);
    auto found = zeroed<bpf_xdp_query_opts>();
    found.sz = sizeof found;
    if (const int error = bpf_xdp_query(static_cast<int>(interface), 0, &found); error != 0)
        return failed(LoadStep::ReadBack, -error);
    if (found.prog_id != info.id) return failed(LoadStep::ReadBack, EBUSY);
    return found.attach_mode == XDP_ATTACHED_DRV ? XdpMode::Native : XdpMode::Generic;
}

Object open_object() noexcept {
    libbpf_set_print(nullptr);
    const auto bytes = classifier_object();
    return Object{bpf_object__open_mem(bytes.data(), bytes.size(), nullptr)};
}

/// The table as it begins: no pressure by itself, no lease.
OrErrno<void> begin_table(int shared_fd) noexcept {
    const auto table = ClassifierTable::map_fresh(shared_fd);
    if (!table) return std::unexpected{table.error()};
    table->set_pressure_hold(kPressureHold);
    table->set_pressure_stall(kPressureStall);
    return {};
}

struct EventProgram {
    const char* event;
    const char* program;
};

/// False: the object has no such program. A kernel that refuses one of the events hears of none.
bool attach_events(Classifier& made, const bpf_object* object,
                   const ReclaimEvents& events) noexcept {
    const std::array<EventProgram, Classifier::kEvents> wanted{{
        {.event = events.begin, .program = "on_reclaim_begin"},
        {.event = events.end, .program = "on_reclaim_end"},
        {.event = events.over, .program = "on_reclaim_over"},
    }};
    bool hears_all = true;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const EventProgram& one = std::span{wanted}[i];
        UniqueFd& program = std::span{made.event_programs}[i];
        program = copy_of(bpf_object__find_program_by_name(object, one.program));
        if (!program) return false;
        const int fd = bpf_raw_tracepoint_open(one.event, program.get());
        std::span{made.events}[i] = UniqueFd{fd < 0 ? -1 : fd};
        hears_all = hears_all && fd >= 0;
    }
    if (!hears_all) made.events = {};
    return true;
}

}  // namespace

std::expected<Classifier, LoadFailure> load_classifier(const ClassifierWish& wish) noexcept {
    const Object object = open_object();
    if (!object) return failed(LoadStep::Load, errno);
    if (const int error = bpf_object__load(object.get()); error != 0)
        return failed(LoadStep::Load, -error);
    Classifier made;
    made.shared = copy_of(bpf_object__find_map_by_name(object.get(), ".data.shared"));
    made.sockets = copy_of(bpf_object__find_map_by_name(object.get(), "sockets"));
    made.program = copy_of(bpf_object__find_program_by_name(object.get(), "classify"));
    if (!made.shared || !made.sockets || !made.program) return failed(LoadStep::Load, EMFILE);
    if (const auto begun = begin_table(made.shared.get()); !begun)
        return failed(LoadStep::Load, begun.error().code());
    if (!attach_events(made, object.get(), wish.reclaim_events))
        return failed(LoadStep::Load, EMFILE);
    if (wish.interface_index == 0) return made;
    if (const int error = attach(made, wish.interface_index, wish.mode); error != 0)
        return failed(LoadStep::Attach, error);
    const auto mode = read_back(made, wish.interface_index);
    if (!mode) return std::unexpected{mode.error()};
    made.mode = *mode;
    const auto table = ClassifierTable::map(made.shared.get());
    if (!table) return failed(LoadStep::ReadBack, table.error().code());
    table->set_place(
        {.interface_index = wish.interface_index, .is_native = made.mode == XdpMode::Native});
    HF_ASSERT(made.link);
    return made;
}

}  // namespace holdfast::netpath::classifier
