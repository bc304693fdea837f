#include "daemon/client/stream.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/control/failures.h"

namespace holdfast::daemon {

namespace {

using initiator::Outcome;
using initiator::RequestKind;
using initiator::Submitted;

constexpr Duration kStreamTurn = Duration::from_ms(200);

/// What became of the request of a tag.
enum class TagState : std::uint8_t { Free, InFlight, Done };

Failure failure_of_submit(Submitted answer) {
    if (answer == Submitted::Stopped)
        return {.code = ExitCode::DeviceError, .sentence = "the session has ended; start again"};
    return {.code = ExitCode::Failed,
            .sentence = "the request does not fit the LUN, which may have shrunk; start again"};
}

/// A ring of tags used in turn, so that completions can be taken in the order of submission.
class TagRing {
public:
    explicit TagRing(UnitPort& port) : port_(port), states_(port.depth(), TagState::Free) {}

    [[nodiscard]] bool has_free() const { return in_use_ < states_.size(); }
    [[nodiscard]] bool is_idle() const { return in_use_ == 0; }
    [[nodiscard]] std::uint16_t next_free() const {
        return static_cast<std::uint16_t>((oldest_ + in_use_) % states_.size());
    }

    [[nodiscard]] OrFailure<void> submit(const initiator::Request& request) {
        const Submitted answer = port_.submit(request);
        if (answer != Submitted::Accepted) return std::unexpected{failure_of_submit(answer)};
        states_[request.tag] = TagState::InFlight;
        ++in_use_;
        return {};
    }

    /// Waits until the oldest request is done and gives its tag, which stays in use until
    /// free_oldest().
    [[nodiscard]] OrFailure<std::uint16_t> wait_for_oldest(std::string_view doing) {
        while (states_[oldest_] != TagState::Done) {
            if (const auto ran = port_.run_once(kStreamTurn); !ran)
                return std::unexpected{ran.error()};
            while (const auto completion = port_.poll_completion()) {
                if (completion->outcome != Outcome::Done)
                    return std::unexpected{failure_of_outcome(completion->outcome, doing)};
                states_[completion->tag] = TagState::Done;
            }
        }
        return static_cast<std::uint16_t>(oldest_);
    }

    void free_oldest() {
        states_[oldest_] = TagState::Free;
        oldest_ = (oldest_ + 1) % states_.size();
        --in_use_;
    }

private:
    UnitPort& port_;
    std::vector<TagState> states_;
    std::size_t oldest_ = 0;
    std::size_t in_use_ = 0;
};

initiator::Request request_at(UnitPort& port, RequestKind kind, std::uint16_t tag,
                              const UnitRange& piece) {
    const std::uint32_t block_bytes = port.facts().block_bytes;
    return {.tag = tag,
            .kind = kind,
            .lba = Lba{piece.offset_bytes / block_bytes},
            .blocks = BlockCount{piece.length_bytes / block_bytes},
            .data = port.buffer(tag).first(static_cast<std::size_t>(piece.length_bytes))};
}

std::uint64_t piece_bytes(const UnitPort& port, std::uint64_t left) {
    return std::min<std::uint64_t>(port.request_bytes_max(), left);
}

}  // namespace

OrFailure<void> read_stream(UnitPort& port, const UnitRange& range, const TakePiece& take) {
    TagRing tags{port};
    const std::uint64_t end = range.offset_bytes + range.length_bytes;
    std::uint64_t asked = range.offset_bytes;
    std::uint64_t taken = range.offset_bytes;
    while (taken < end) {
        while (asked < end && tags.has_free()) {
            const UnitRange piece{.offset_bytes = asked,
                                  .length_bytes = piece_bytes(port, end - asked)};
            const auto sent =
                tags.submit(request_at(port, RequestKind::Read, tags.next_free(), piece));
            if (!sent) return sent;
            asked += piece.length_bytes;
        }
        const auto tag = tags.wait_for_oldest("reading");
        if (!tag) return std::unexpected{tag.error()};
        const auto bytes = static_cast<std::size_t>(piece_bytes(port, end - taken));
        if (const auto used = take(port.buffer(*tag).first(bytes), taken); !used) return used;
        taken += bytes;
        tags.free_oldest();
    }
    return {};
}

OrFailure<std::uint64_t> write_stream(UnitPort& port, const UnitRange& range,
                                      const GivePiece& give) {
    TagRing tags{port};
    const std::uint64_t end = range.offset_bytes + range.length_bytes;
    const std::uint32_t block_bytes = port.facts().block_bytes;
    std::uint64_t at = range.offset_bytes;
    std::uint64_t given_bytes = 0;
    bool is_over = false;
    while (!is_over || !tags.is_idle()) {
        if (!is_over && tags.has_free()) {
            const auto wanted = static_cast<std::size_t>(piece_bytes(port, end - at));
            const auto room = port.buffer(tags.next_free()).first(wanted);
            const auto given = give(room, at);
            if (!given) return std::unexpected{given.error()};
            given_bytes += *given;
            const std::uint64_t whole = *given - *given % block_bytes;
            is_over = *given < wanted || at + whole == end;
            if (whole == 0) continue;
            const auto sent = tags.submit(request_at(port, RequestKind::Write, tags.next_free(),
                                                     {.offset_bytes = at, .length_bytes = whole}));
            if (!sent) return std::unexpected{sent.error()};
            at += whole;
            continue;
        }
        if (const auto tag = tags.wait_for_oldest("writing"); !tag)
            return std::unexpected{tag.error()};
        tags.free_oldest();
    }
    return given_bytes;
}

OrFailure<void> run_request(UnitPort& port, const initiator::Request& request,
                            std::string_view doing) {
    TagRing tags{port};
    if (const auto sent = tags.submit(request); !sent) return sent;
    const auto tag = tags.wait_for_oldest(doing);
    if (!tag) return std::unexpected{tag.error()};
    return {};
}

OrFailure<void> flush(UnitPort& port) {
    return run_request(port, {.tag = 0, .kind = RequestKind::Flush}, "flushing");
}

}  // namespace holdfast::daemon
