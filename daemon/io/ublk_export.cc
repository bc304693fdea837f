#include "daemon/io/ublk_export.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "daemon/io/ublk_params.h"
#include "reserve/memory_map.h"

namespace holdfast::daemon {

namespace {

using initiator::Outcome;
using initiator::Request;
using initiator::RequestKind;
using initiator::Submitted;

using PathText = FixedString<32>;

PathText device_path(std::string_view prefix, std::int32_t id) noexcept {
    std::array<char, 12> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), id).ptr;
    PathText path;
    path.assign_cut(prefix);
    const bool fits = path.try_append({digits.begin(), end});
    HF_ASSERT(fits);
    return path;
}

void sleep_ms(long count) noexcept {
    const timespec pause{.tv_sec = 0, .tv_nsec = count * 1'000'000};
    ::nanosleep(&pause, nullptr);
}

UniqueFd open_device(const PathText& path) noexcept {
    std::array<char, 40> text{};
    std::memcpy(text.data(), path.view().data(), path.size());
    return UniqueFd{::open(text.data(), O_RDWR | O_CLOEXEC)};
}

/// udev may be slow to make the node. Whoever stood by has /dev as its root by now.
UniqueFd open_queue_device(std::int32_t id) noexcept {
    constexpr int kTriesMax = 100;
    for (int i = 0; i < kTriesMax; ++i) {
        for (const std::string_view prefix : {"/dev/ublkc", "/ublkc"}) {
            UniqueFd fd = open_device(device_path(prefix, id));
            if (fd || (errno != ENOENT && errno != EBUSY)) return fd;
        }
        sleep_ms(20);
    }
    return {};
}

std::size_t descriptor_bytes(std::uint16_t depth) noexcept {
    return (depth * sizeof(ublk::Descriptor) + reserve::kPageBytes - 1) / reserve::kPageBytes *
           reserve::kPageBytes;
}

ublk::ControlCommand command_for(std::int32_t id) noexcept {
    return {.device_id = static_cast<std::uint32_t>(id)};
}

template <class T>
ublk::ControlCommand command_with(std::int32_t id, T& buffer) noexcept {
    ublk::ControlCommand command = command_for(id);
    command.buffer_bytes = sizeof(T);
    command.buffer_address = std::bit_cast<std::uint64_t>(&buffer);
    return command;
}

/// As the block layer wants it: a negative errno that keeps its meaning as a block status.
std::int32_t result_of(Outcome outcome) noexcept {
    switch (outcome) {
    case Outcome::Done: return 0;
    case Outcome::ReservationConflict: return -EBADE;
    case Outcome::NoSpace: return -ENOSPC;
    case Outcome::Unsupported: return -EOPNOTSUPP;
    case Outcome::TimedOut: return -ETIMEDOUT;
    case Outcome::MediumError: return -ENODATA;
    case Outcome::ReadOnly:
    case Outcome::TargetFailure:
    case Outcome::Gone: return -EIO;
    }
    return -EIO;
}

}  // namespace

UblkExport::UblkExport(Driver& driver, RequestMeter& meter, UblkControl& control,
                       const UblkOptions& options) noexcept
    : driver_(driver), meter_(meter), options_(options), control_(control) {
    HF_ASSERT(options.depth >= 1 && options.depth <= kDepthMax);
}

UblkExport::~UblkExport() {
    if (descriptors_.empty()) return;
    // The mapping takes no writes; munmap's interface has no const.
    ::munmap(const_cast<ublk::Descriptor*>(descriptors_.data()), descriptor_bytes(options_.depth));
}

OrErrno<void> UblkExport::warm_up(UblkControl& control) noexcept {
    if (auto opened = control.open(); !opened) return opened;
    std::uint64_t features = 0;
    // A kernel that does not know the command refuses it, in the worker that is wanted.
    static_cast<void>(control.run(ublk::kGetFeatures, command_with(0, features)));
    return {};
}

OrErrno<void> UblkExport::begin() noexcept {
    HF_ASSERT(phase_ == ExportPhase::Making);
    HF_ASSERT(driver_.state() == DriverState::Ready || options_.recover_id >= 0);
    if (!control_.is_open())
        if (auto opened = control_.open(); !opened) return opened;
    const netpath::FileSlot slot = control_file();
    if (auto placed = driver_.ring().set_file(slot, control_.descriptor()); !placed) return placed;
    if (options_.recover_id >= 0) {
        id_ = options_.recover_id;
        return begin_control(Pending::Recover, ublk::kStartRecovery, 0);
    }
    if (auto added = add_device(); !added) return added;
    return start_serving();
}

netpath::FileSlot UblkExport::control_file() const noexcept {
    return netpath::FileSlot{static_cast<std::uint16_t>(driver_.first_extra_file().raw() + 1)};
}

/// Everything that a new device and an adopted one have in common.
OrErrno<void> UblkExport::start_serving() noexcept {
    if (auto opened = open_queue(); !opened) return opened;
    for (std::uint16_t tag = 0; tag < options_.depth; ++tag) fetch(tag);
    tags_alive_ = options_.depth;
    const bool recovers = options_.recover_id >= 0;
    return begin_control(Pending::Start, recovers ? ublk::kEndRecovery : ublk::kStartDevice,
                         static_cast<std::uint64_t>(::getpid()));
}

OrErrno<void> UblkExport::add_device() noexcept {
    // Kernels before 6.5 have no such command; they know the flags below and nothing more.
    if (!control_.run(ublk::kGetFeatures, command_with(0, features_))) features_ = 0;
    ublk::DeviceInfo info;
    info.queue_depth = options_.depth;
    info.buffer_bytes_max = options_.request_bytes_max;
    info.device_id = static_cast<std::uint32_t>(options_.id_wish);
    info.flags = ublk::kFlagUserRecovery | ublk::kFlagUserRecoveryReissue |
                 ublk::kFlagIoctlEncoding | (features_ & ublk::kFlagUpdateSize);
    if (auto added = control_.run(ublk::kAddDevice, command_with(options_.id_wish, info)); !added)
        return added;
    id_ = static_cast<std::int32_t>(info.device_id);
    if (info.queue_depth != options_.depth || info.queues != 1)
        return std::unexpected(Errno{EPROTO});
    ublk::Params params =
        ublk_params_of(driver_.facts(), options_.request_bytes_max, options_.read_only);
    return control_.run(ublk::kSetParams, command_with(id_, params));
}

void UblkExport::fail(int error) noexcept {
    error_ = error;
    phase_ = ExportPhase::Failed;
}

/// The kernel refuses with EBUSY until every file and ring of the dead process is gone. EINVAL: a
/// successor that died, too, has begun the recovery and fetched nothing; it goes on from there.
void UblkExport::on_recovery_started(int result) noexcept {
    if (phase_ != ExportPhase::Making) return;
    if (result == -EBUSY) {
        recover_at_ = Driver::clock() + kRecoveryPause;
    } else if (result < 0 && result != -EINVAL) {
        fail(-result);
    } else {
        may_adopt_ = true;
        adopt_when_ready();
    }
}

/// The fence stands before the first fetch: Ready means that no command of the dead process can be
/// executed any more.
void UblkExport::adopt_when_ready() noexcept {
    if (!may_adopt_ || driver_.state() != DriverState::Ready) return;
    may_adopt_ = false;
    if (auto started = start_serving(); !started) fail(started.error().code());
}

void UblkExport::on_turn_end(Instant now) noexcept {
    adopt_when_ready();
    if (now < recover_at_) return;
    recover_at_ = Instant::never();
    if (auto begun = begin_control(Pending::Recover, ublk::kStartRecovery, 0); !begun)
        fail(begun.error().code());
}

OrErrno<void> UblkExport::open_queue() noexcept {
    queue_device_ = open_queue_device(id_);
    if (!queue_device_) return std::unexpected(Errno::last());
    void* const mapping = ::mmap(nullptr, descriptor_bytes(options_.depth), PROT_READ,
                                 MAP_SHARED | MAP_POPULATE, queue_device_.get(), 0);
    if (mapping == MAP_FAILED) return std::unexpected(Errno::last());
    // The kernel owns these objects and keeps writing them.
    descriptors_ = {static_cast<const ublk::Descriptor*>(mapping), options_.depth};
    return driver_.ring().set_file(driver_.first_extra_file(), queue_device_.get());
}

OrErrno<void> UblkExport::begin_control(Pending pending, std::uint32_t operation,
                                        std::uint64_t data) noexcept {
    HF_ASSERT(pending_ == Pending::None);
    ublk::ControlCommand command = command_for(id_);
    command.data = data;
    if (auto begun = control_.begin(operation, command); !begun) return begun;
    pending_ = pending;
    wait_for_control();
    return {};
}

void UblkExport::wait_for_control() noexcept {
    driver_.ring().read(control_file(), control_word_,
                        {.owner = static_cast<std::uint8_t>(RingOwner::Ublk),
                         .kind = static_cast<std::uint8_t>(Kind::Control)});
}

void UblkExport::on_control_ready() noexcept {
    HF_ASSERT(pending_ != Pending::None);
    const auto result = control_.poll_result();
    // The counter also holds the commands that were run to their end while nobody waited on it.
    if (!result) return wait_for_control();
    const Pending what = pending_;
    pending_ = Pending::None;
    on_control_done(what, *result);
    if (stop_wanted_ && pending_ == Pending::None && phase_ == ExportPhase::Stopping) {
        stop_wanted_ = false;
        if (!begin_control(Pending::Stop, ublk::kStopDevice, 0)) phase_ = ExportPhase::Stopped;
    } else if (resize_wanted_ && pending_ == Pending::None && phase_ == ExportPhase::Serving) {
        on_resized();
    }
}

void UblkExport::on_control_done(Pending what, int result) noexcept {
    switch (what) {
    case Pending::Recover: return on_recovery_started(result);
    case Pending::Start:
        if (phase_ != ExportPhase::Making) return;
        if (result < 0) return fail(-result);
        phase_ = ExportPhase::Serving;
        return;
    case Pending::Stop:
        // Every tag has come home by now, or never will.
        phase_ = ExportPhase::Stopped;
        return;
    case Pending::Resize:
        if (result < 0) error_ = -result;
        return;
    case Pending::None: return;
    }
}

std::uint64_t UblkExport::address_of(std::uint16_t tag) noexcept {
    return std::bit_cast<std::uint64_t>(driver_.buffer(tag).data());
}

void UblkExport::fetch(std::uint16_t tag) noexcept {
    const ublk::IoCommand command{.tag = tag, .buffer_address = address_of(tag)};
    driver_.ring().command(driver_.first_extra_file(), ublk::kFetch,
                           std::as_bytes(std::span{&command, 1}),
                           {.owner = static_cast<std::uint8_t>(RingOwner::Ublk),
                            .kind = static_cast<std::uint8_t>(Kind::Tag),
                            .index = tag});
}

void UblkExport::commit(std::uint16_t tag, std::int32_t result) noexcept {
    const ublk::IoCommand command{.tag = tag, .result = result, .buffer_address = address_of(tag)};
    driver_.ring().command(driver_.first_extra_file(), ublk::kCommitAndFetch,
                           std::as_bytes(std::span{&command, 1}),
                           {.owner = static_cast<std::uint8_t>(RingOwner::Ublk),
                            .kind = static_cast<std::uint8_t>(Kind::Tag),
                            .index = tag});
}

void UblkExport::on_completed(const netpath::Completed& completed, Instant now) noexcept {
    if (static_cast<Kind>(completed.token.kind) == Kind::Control) return on_control_ready();
    on_tag(completed.token.index, completed.result, now);
}

void UblkExport::on_tag(std::uint16_t tag, std::int32_t result, Instant now) noexcept {
    HF_ASSERT(tag < options_.depth);
    if (result == ublk::kResultOk) return take_request(tag, descriptor_of(tag), now);
    // ENODEV: the device is stopping. Anything else: the kernel refused the fetch; the tag is gone.
    HF_ASSERT(tags_alive_ > 0);
    --tags_alive_;
    if (phase_ == ExportPhase::Making) fail(-result);
}

ublk::Descriptor UblkExport::descriptor_of(std::uint16_t tag) const noexcept {
    ublk::Descriptor copy;
    std::memcpy(&copy, &descriptors_[tag], sizeof(copy));
    return copy;
}

void UblkExport::take_request(std::uint16_t tag, const ublk::Descriptor& descriptor,
                              Instant now) noexcept {
    const initiator::DeviceFacts& facts = driver_.facts();
    const std::uint32_t sectors_per_block = facts.block_bytes / ublk::kSectorBytes;
    const std::uint64_t bytes = std::uint64_t{descriptor.sectors} * ublk::kSectorBytes;
    Request request{.tag = tag,
                    .lba = Lba{descriptor.start_sector / sectors_per_block},
                    .blocks = BlockCount{descriptor.sectors / sectors_per_block}};
    bool has_data = false;
    switch (descriptor.operation_and_flags & ublk::kOperationMask) {
    case ublk::kOperationRead:
        request.kind = RequestKind::Read;
        has_data = true;
        break;
    case ublk::kOperationWrite:
        request.kind = RequestKind::Write;
        request.force_unit_access = (descriptor.operation_and_flags & ublk::kRequestFua) != 0;
        has_data = true;
        break;
    case ublk::kOperationFlush: request = {.tag = tag, .kind = RequestKind::Flush}; break;
    case ublk::kOperationDiscard: request.kind = RequestKind::Discard; break;
    case ublk::kOperationWriteZeroes:
        request.kind = RequestKind::WriteZeroes;
        request.may_unmap = (descriptor.operation_and_flags & ublk::kRequestNoUnmap) == 0;
        break;
    default: return commit(tag, -EOPNOTSUPP);
    }
    const bool aligned = descriptor.sectors % sectors_per_block == 0 &&
                         descriptor.start_sector % sectors_per_block == 0;
    if (!aligned || (has_data && (bytes == 0 || bytes > options_.request_bytes_max)))
        return commit(tag, -EINVAL);
    if (has_data) request.data = driver_.buffer(tag).first(bytes);
    done_results_[tag] = has_data ? static_cast<std::int32_t>(bytes) : 0;
    meter_.on_submitted(request, now);
    const Submitted submitted = driver_.submit(request);
    HF_ASSERT(submitted != Submitted::Full);
    if (submitted != Submitted::Accepted) commit(tag, -EIO);
}

void UblkExport::on_request_done(const initiator::Completion& completion, Instant now) noexcept {
    HF_ASSERT(completion.tag < options_.depth);
    meter_.on_done(completion.tag, now);
    const bool done = completion.outcome == Outcome::Done;
    commit(completion.tag, done ? done_results_[completion.tag] : result_of(completion.outcome));
}

void UblkExport::on_resized() noexcept {
    if (!can_resize() || phase_ != ExportPhase::Serving) return;
    resize_wanted_ = pending_ != Pending::None;
    if (resize_wanted_) return;
    const std::uint64_t sectors = ublk_sectors_of(driver_.facts());
    if (auto begun = begin_control(Pending::Resize, ublk::kUpdateSize, sectors); !begun)
        error_ = begun.error().code();
}

void UblkExport::stop(Instant) noexcept {
    if (phase_ == ExportPhase::Stopping || phase_ == ExportPhase::Stopped) return;
    if (id_ < 0 || phase_ == ExportPhase::Failed) {
        phase_ = ExportPhase::Stopped;
        return;
    }
    phase_ = ExportPhase::Stopping;
    recover_at_ = Instant::never();
    stop_wanted_ = pending_ != Pending::None;
    if (!stop_wanted_ && !begin_control(Pending::Stop, ublk::kStopDevice, 0))
        phase_ = ExportPhase::Stopped;
}

void UblkExport::describe(ExportState& state) const noexcept {
    state.kind = ExportKind::Ublk;
    state.is_ready = phase_ == ExportPhase::Serving;
    state.read_only = options_.read_only || driver_.facts().read_only;
    state.ublk_id = id_;
    state.path.clear();
    if (id_ >= 0) state.path.assign_cut(device_path("/dev/ublkb", id_).view());
    state.size_bytes = driver_.facts().blocks * driver_.facts().block_bytes;
}

OrErrno<void> delete_ublk_device(std::int32_t id) noexcept {
    UblkControl control;
    if (auto opened = control.open(); !opened) return opened;
    return control.run(ublk::kDeleteDevice, command_for(id));
}

}  // namespace holdfast::daemon
