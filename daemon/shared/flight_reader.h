/// The reading end of the flight recorder: takes single records out of cells that another process
/// writes meanwhile, and believes none of them unseen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "daemon/shared/attach_spec.h"
#include "initiator/recorder.h"

namespace holdfast::daemon {

/// Why a record that was written as a whole cannot be one. Its writer is mad or of another release.
enum class FlightError : std::uint8_t {
    Shape,       ///< The cells are not as many as the shape says.
    Number,      ///< Beyond every count of records.
    Kind,        ///< Unknown, or not one that belongs into this cell.
    Connection,  ///< Not one of the session's, or not the one whose cell it is.
    Time,        ///< Before the clock began.
    State,       ///< A state or an event that does not exist.
};
inline constexpr std::uint8_t kFlightErrorCount = 6;

/// What an attachment keeps, by profile; docs/operating.md has the table.
[[nodiscard]] initiator::RecorderShape flight_shape_of(const AttachSpec& spec) noexcept;

/// See the file comment. Any number of them, anywhere; borrows the cells.
class FlightReader {
public:
    static constexpr int kTriesMax = 4;

    FlightReader(std::span<const initiator::RecordCell> cells,
                 initiator::RecorderShape shape) noexcept
        : cells_(cells), shape_(shape) {}

    /// How many cells there are; 0 without a recorder.
    [[nodiscard]] std::size_t size() const noexcept { return cells_.size(); }

    /// What stands in cell `i`, whole and sound. Empty: nothing was written there, or the writer
    /// was at work during every try.
    [[nodiscard]] std::expected<std::optional<initiator::FlightRecord>, FlightError> try_read(
        std::size_t i) const noexcept;

private:
    std::span<const initiator::RecordCell> cells_;
    initiator::RecorderShape shape_;
};

}  // namespace holdfast::daemon
