#include "initiator/scsi/probe_run.h"

#include <algorithm>

#include "base/assert.h"

namespace holdfast::initiator::scsi {

ProbeRun::ProbeRun(Lun lun, std::span<std::byte> answers) noexcept
    : lun_(lun), answers_(answers), machine_(lun) {
    HF_ASSERT(answers.size() == kAnswersBytes);
}

void ProbeRun::begin(bool may_ask_ahead) noexcept {
    machine_ = ProbeMachine{lun_};
    places_ = {};
    ahead_ = may_ask_ahead ? needed_ : 0;
    is_waiting_ = false;
    is_alone_ = false;
}

std::optional<std::uint8_t> ProbeRun::next_place() noexcept {
    if (is_over() || is_waiting_) return {};
    const std::uint8_t due = machine_.place();
    for (std::uint8_t i = due; i < kPlaces; ++i) {
        const bool is_wanted = i == due || (!is_alone_ && (ahead_ & (1U << i)) != 0);
        if (!is_wanted || places_[i].state != State::Idle) continue;
        places_[i].state = State::Out;
        return i;
    }
    return {};
}

ProbeCommand ProbeRun::command(std::uint8_t place) const noexcept {
    const ProbeCommand command = machine_.command_at(place);
    HF_ASSERT(command.data_in_bytes <= answer_space(place).size());
    return command;
}

std::span<std::byte> ProbeRun::answer_space(std::uint8_t place) const noexcept {
    HF_ASSERT(place < kPlaces);
    if (place == 0) return answers_.first(kProbeDataBytesMax);
    return answers_.subspan(kProbeDataBytesMax + (place - 1U) * kAheadBytesMax, kAheadBytesMax);
}

ProbeStep ProbeRun::on_result(std::uint8_t place, const CommandEnd& end,
                              std::size_t got_bytes) noexcept {
    HF_ASSERT(place < kPlaces);
    HF_ASSERT(places_[place].state == State::Out || places_[place].state == State::Void);
    const bool counts = places_[place].state == State::Out && !is_over();
    places_[place].state = State::Idle;
    ProbeStep step = ProbeStep::Continue;
    if (counts && place == machine_.place() && !is_waiting_) {
        step = judge(end, answer_space(place).first(got_bytes));
    } else if (counts) {
        keep(place, end, got_bytes);
    }
    if (step == ProbeStep::Continue) step = judge_kept();
    if (step != ProbeStep::Continue || machine_.place() != kPlaces) return step;
    return is_any_out() ? ProbeStep::Continue : ProbeStep::Ready;
}

bool ProbeRun::is_any_out() const noexcept {
    return std::ranges::any_of(places_, [](const Place& place) {
        return place.state == State::Out || place.state == State::Void;
    });
}

std::span<std::byte> ProbeRun::sense_space(std::uint8_t place) const noexcept {
    HF_ASSERT(place < kPlaces);
    return answers_.last((kPlaces - std::size_t{place}) * kSenseBytesMax).first(kSenseBytesMax);
}

void ProbeRun::keep(std::uint8_t place, const CommandEnd& end, std::size_t got_bytes) noexcept {
    Place& kept = places_[place];
    const std::span<std::byte> space = sense_space(place);
    const auto sense = end.data_segment.first(std::min(end.data_segment.size(), space.size()));
    std::ranges::copy(sense, space.begin());
    kept = {.state = State::Answered, .end = end, .data_bytes = got_bytes};
    kept.end.data_segment = space.first(sense.size());
}

ProbeStep ProbeRun::judge(const CommandEnd& end, std::span<const std::byte> data) noexcept {
    const std::uint8_t before = machine_.place();
    const ProbeStep step = machine_.on_result(end, data);
    if (step == ProbeStep::Ready) {
        needed_ = machine_.answered();
        return ProbeStep::Continue;  // Until nothing is out.
    }
    if (step == ProbeStep::Continue && machine_.place() > before) {
        is_alone_ = false;
        return step;
    }
    forget_ahead();
    is_waiting_ = step == ProbeStep::Wait;
    is_alone_ = is_alone_ || is_waiting_;
    return step;
}

ProbeStep ProbeRun::judge_kept() noexcept {
    while (!is_over() && !is_waiting_) {
        Place& place = places_[machine_.place()];
        if (place.state != State::Answered) break;
        place.state = State::Idle;
        const auto data = answer_space(machine_.place()).first(place.data_bytes);
        const ProbeStep step = judge(place.end, data);
        if (step != ProbeStep::Continue) return step;
    }
    return ProbeStep::Continue;
}

void ProbeRun::forget_ahead() noexcept {
    for (Place& place : places_) {
        if (place.state == State::Answered) place.state = State::Idle;
        if (place.state == State::Out) place.state = State::Void;
    }
}

}  // namespace holdfast::initiator::scsi
