//! MovieLens-100K, in RecBole's files (`ml-100k.inter`, `.user`, `.item`: tab-separated with a typed header) or
//! GroupLens' (`u.data`, `u.user`, `u.item`: `|`-separated and Latin-1); MovieLens-1M, in GroupLens' (`ratings.dat`,
//! `users.dat`, `movies.dat`: `::`-separated and Latin-1).

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::input::{Input, Keep};
use xsfm_interchange::rows::MAX_BAG;
use xsfm_interchange::schema::FieldKind;

use crate::error::DataError;
use crate::files::Files;
use crate::lines::{self, LineParser, check_bytes};
use crate::open::open;
use crate::raw::{Blocks, Place, RawField, RawRow};
use crate::source::Source;
use crate::time::Time;

/// Genres of GroupLens' `u.item`, in the order of its last 19 columns; names as in its `u.genre`.
const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// A rating of this or more is a click.
const POSITIVE_RATING: f64 = 4.0;

/// The fields of a row, in its order; genres are the bag.
const FIELDS: [&str; 7] = ["user", "item", "age", "gender", "occupation", "release_year", "genres"];
/// Place of the user in a row.
pub const USER: usize = 0;
/// Place of the film in a row.
pub const ITEM: usize = 1;
/// Place of the genres in a row.
const GENRES_FIELD: usize = FIELDS.len() - 1;

/// A film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// Its number, as text.
    pub id: String,
    /// Its title.
    pub title: String,
    year: String,
    genres: Vec<String>,
}

#[derive(Clone, Debug)]
struct User {
    age: String,
    gender: String,
    occupation: String,
}

/// Which files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    RecBole,
    GroupLens100K,
    GroupLens1M,
}

/// The data set: users and films in memory, ratings streamed.
#[derive(Debug)]
pub struct MovieLens {
    fields: Vec<RawField>,
    ratings: Table,
    files: Files,
    /// Files of users and films.
    others: [PathBuf; 2],
    users: HashMap<String, User>,
    films: Vec<Film>,
    film_places: HashMap<String, usize>,
}

/// How a file is laid out.
#[derive(Clone, Debug)]
struct Table {
    path: PathBuf,
    separator: &'static str,
    has_header: bool,
    columns: Vec<&'static str>,
    /// Number of columns of a line.
    width: usize,
}

impl MovieLens {
    /// Reads users and films of a folder.
    ///
    /// # Errors
    /// The folder has neither set of files, or a file is malformed.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let table = |name: &str, separator, has_header, columns: &[&'static str], width| Table {
            path: folder.join(name),
            separator,
            has_header,
            columns: columns.to_vec(),
            width,
        };
        let layouts = [
            ("ml-100k.inter", Layout::RecBole),
            ("u.data", Layout::GroupLens100K),
            ("ratings.dat", Layout::GroupLens1M),
        ];
        let found = layouts.into_iter().find(|(name, _)| folder.join(name).exists());
        let Some((ratings, layout)) = found else {
            let what =
                "neither ml-100k.inter (RecBole), u.data (GroupLens, 100K) nor ratings.dat (1M) is in this folder";
            return Err(DataError::file(folder, what));
        };
        let columns = ["user_id", "item_id", "rating", "timestamp"];
        let (ratings, users, films) = match layout {
            Layout::RecBole => (
                table(ratings, "\t", true, &columns, 4),
                table("ml-100k.user", "\t", true, &["user_id", "age", "gender", "occupation", "zip_code"], 5),
                table("ml-100k.item", "\t", true, &["item_id", "movie_title", "release_year", "class"], 4),
            ),
            Layout::GroupLens100K => (
                table(ratings, "\t", false, &columns, 4),
                table("u.user", "|", false, &["user_id", "age", "gender", "occupation", "zip_code"], 5),
                table("u.item", "|", false, &["item_id", "movie_title", "release_date"], 24),
            ),
            Layout::GroupLens1M => (
                table(ratings, "::", false, &columns, 4),
                table("users.dat", "::", false, &["user_id", "gender", "age", "occupation", "zip_code"], 5),
                table("movies.dat", "::", false, &["item_id", "movie_title", "genres"], 3),
            ),
        };
        let kind = |name: &str| if name == "genres" { FieldKind::Bag } else { FieldKind::Categorical };
        let field = |name: &str| RawField {
            name: name.to_owned(),
            kind: kind(name),
            rule: Rule::Tokens,
            min_count: 1,
            weights: None,
            max_bag: MAX_BAG,
            keep: Keep::First,
        };
        let mut data = MovieLens {
            fields: FIELDS.into_iter().map(field).collect(),
            others: [users.path.clone(), films.path.clone()],
            files: Files::from(&ratings.path),
            ratings,
            users: HashMap::new(),
            films: Vec::new(),
            film_places: HashMap::new(),
        };
        users.lines(|cells| {
            let (age, gender) = if layout == Layout::GroupLens1M { (cells[2], cells[1]) } else { (cells[1], cells[2]) };
            let user = User { age: age.into(), gender: gender.into(), occupation: cells[3].into() };
            let earlier = data.users.insert(cells[0].to_owned(), user);
            earlier.map_or(Ok(()), |_| Err(format!("user {} comes twice", cells[0])))
        })?;
        films.lines(|cells| {
            let genres =
                |separator| cells[cells.len() - 1].split(separator).filter(|g| !g.is_empty()).map(str::to_owned);
            let (year, genres) = match layout {
                Layout::RecBole => (cells[2].to_owned(), genres(' ').collect()),
                Layout::GroupLens100K => grouplens_film(cells)?,
                Layout::GroupLens1M => (year_of_title(cells[1])?, genres('|').collect()),
            };
            let (id, title) = (cells[0].to_owned(), cells[1].to_owned());
            let earlier = data.film_places.insert(id.clone(), data.films.len());
            data.films.push(Film { id, title, year, genres });
            earlier.map_or(Ok(()), |_| Err(format!("film {} comes twice", cells[0])))
        })?;
        Ok(data)
    }

    /// All films, in the order of their file.
    pub fn films(&self) -> &[Film] {
        &self.films
    }

    /// Fills `row` with the tokens of a user and a film; false where there is no such user.
    pub fn fill(&self, row: &mut RawRow, user_id: &str, film: &Film) -> bool {
        let Some(user) = self.users.get(user_id) else { return false };
        row.clear();
        for token in [user_id, &film.id, &user.age, &user.gender, &user.occupation, &film.year] {
            row.push_field(token);
        }
        film.genres.iter().for_each(|genre| row.push_token(genre));
        row.end_bag(&self.fields[GENRES_FIELD]);
        true
    }
}

/// Release year and genres of a line of `u.item`: `id|title|01-Jan-1995|video date|URL|19 flags`.
fn grouplens_film(cells: &[&str]) -> Result<(String, Vec<String>), String> {
    let year = cells[2].rsplit('-').next().unwrap_or("").to_owned();
    let mut genres = Vec::new();
    for (flag, genre) in cells[5..].iter().zip(GENRES) {
        match *flag {
            "0" => {}
            "1" => genres.push(genre.to_owned()),
            other => return Err(format!("genre {genre:?}: {other:?}, 0 or 1 expected")),
        }
    }
    Ok((year, genres))
}

/// `Toy Story (1995)`.
fn year_of_title(title: &str) -> Result<String, String> {
    let year = title.trim_end().strip_suffix(')').and_then(|title| title.rsplit('(').next());
    let year = year.filter(|year| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()));
    year.map(str::to_owned).ok_or_else(|| format!("title {title:?}: no year in parentheses at its end"))
}

impl Table {
    /// Visits the cells of all lines behind the header. A table of users or films is small, and nothing can be spared
    /// of it.
    fn lines(&self, mut visit: impl FnMut(&[&str]) -> Result<(), String>) -> Result<(), DataError> {
        let path = &self.path;
        let mut input = BufReader::new(open(path, &ProgressBar::hidden())?);
        let (mut line, mut buffer) = (0, Vec::new());
        while input.read_until(b'\n', &mut buffer).map_err(DataError::io(path))? > 0 {
            line += 1;
            let bad = |what: String| DataError::row(path, line, what);
            let latin1;
            let text = if self.has_header {
                str::from_utf8(&buffer).map_err(|e| bad(format!("not UTF-8: {e}")))?
            } else {
                // Latin-1 is the first 256 characters of Unicode.
                latin1 = buffer.iter().map(|&b| char::from(b)).collect::<String>();
                &latin1
            };
            let cells = self.cells(text).map_err(bad)?;
            if self.has_header && line == 1 {
                self.check_header(&cells).map_err(bad)?;
            } else {
                visit(&cells).map_err(bad)?;
            }
            buffer.clear();
        }
        if line == 0 { Err(DataError::file(path, "an empty file")) } else { Ok(()) }
    }

    fn cells<'a>(&self, line: &'a str) -> Result<Vec<&'a str>, String> {
        let cells: Vec<&str> = line.trim_end_matches(['\n', '\r']).split(self.separator).collect();
        if cells.len() == self.width {
            Ok(cells)
        } else {
            Err(format!("{} columns, {} expected", cells.len(), self.width))
        }
    }

    /// `user_id:token`: the type behind the colon is RecBole's.
    fn check_header(&self, cells: &[&str]) -> Result<(), String> {
        for (cell, wanted) in cells.iter().zip(&self.columns) {
            let name = cell.split(':').next().unwrap_or("");
            if name != *wanted {
                return Err(format!("column {name:?}, {wanted:?} expected"));
            }
        }
        Ok(())
    }

    /// Checks the first line, where it is a header.
    fn check_first_line(&self) -> Result<(), DataError> {
        if !self.has_header {
            return Ok(());
        }
        let path = &self.path;
        let mut first = String::new();
        let input = open(path, &ProgressBar::hidden())?;
        if BufReader::new(input).read_line(&mut first).map_err(DataError::io(path))? == 0 {
            return Err(DataError::file(path, "an empty file"));
        }
        let checked = self.cells(&first).and_then(|cells| self.check_header(&cells));
        checked.map_err(|what| DataError::row(path, 1, what))
    }
}

impl LineParser for MovieLens {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        check_bytes(line)?;
        let text = str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
        let cells = self.ratings.cells(text)?;
        let number = |name: &str, cell: &str| {
            let value = cell.parse().ok().filter(|v: &f64| v.is_finite());
            value.ok_or_else(|| format!("field {name:?}: {cell:?} is not a number"))
        };
        let rating = number("rating", cells[2])?;
        let bad_time = || format!("field \"timestamp\": {:?} is not a time", cells[3]);
        let time = Time::parse(cells[3]).ok_or_else(bad_time)?;
        let &place =
            self.film_places.get(cells[1]).ok_or_else(|| format!("field \"item_id\": no film {:?}", cells[1]))?;
        if !self.fill(row, cells[0], &self.films[place]) {
            return Err(format!("field \"user_id\": no user {:?}", cells[0]));
        }
        row.label = u8::from(rating >= POSITIVE_RATING);
        row.label_text.push_str(cells[2]);
        row.time = Some(time);
        Ok(())
    }
}

impl Source for MovieLens {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn input(&self) -> Input {
        Input::Movielens
    }

    fn label(&self) -> &str {
        "rating is at least 4"
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn inputs(&self) -> Vec<PathBuf> {
        [&self.ratings.path, &self.others[0], &self.others[1]].map(PathBuf::clone).into()
    }

    fn has_time(&self) -> bool {
        true
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        self.ratings.check_first_line()?;
        lines::blocks(&self.files, (file, from), u64::from(self.ratings.has_header), self, progress)
    }
}
